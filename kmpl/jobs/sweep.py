"""A sweep: one experiment per labelled ratio and seed, each finished once, and one report over all of them.

The order is written here, once; an engine says only how steps and experiments are run.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig, experiment_name, is_untuned, untuned
from kmpl.datasets.registry import content
from kmpl.errors import DivergedError, UserError
from kmpl.jobs.experiment import ExperimentJob, Summary, Wrap, error_context, identity, run_experiment
from kmpl.jobs.journal import Journal
from kmpl.jobs.tune import Tuning, run_tuning
from kmpl.jobs.workers import in_processes, stopping_all
from kmpl.jobs.workspace import Workspace
from kmpl.method import steps
from kmpl.reports import sweep_page, sweep_plots
from kmpl.reports.comparison import SweepReport, compare
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.devices import cores, use_threads
from kmpl.store.fingerprints import key
from kmpl.tracking.candidates import Candidates
from kmpl.tracking.environment import environment, now
from kmpl.tracking.sweep_runs import SweepRun, refuse_other_settings, sweep_run


@dataclass(frozen=True)
class Engine:
    """How a sweep is run. The default needs nothing but this machine."""

    wrap: Wrap = identity
    distribute: Callable[[Callable[[Any], Any], Sequence[Any], int], Iterator[Callable[[], Any]]] = in_processes
    conclude: Callable[[Callable[[], SweepReport]], SweepReport] = lambda report: report()


def named(settings: SweepConfig) -> SweepConfig:
    """Return the settings with a name; one made from the settings is the same whenever they are."""
    if settings.name:
        return settings
    digest = hashlib.sha256(settings.configuration().encode()).hexdigest()[:8]
    return settings.model_copy(
        update={"name": f"{settings.experiment.dataset}-{settings.experiment.protocol}-{digest}".lower()}
    )


def experiments(settings: SweepConfig) -> dict[str, ExperimentConfig]:
    """Return the settings of each experiment by its name, the seeds' first sweep over the ratios first."""
    threads = settings.experiment.threads or max(1, cores() // settings.jobs)
    return {
        experiment_name(ratio, seed): merge(
            ExperimentConfig(**settings.experiment.model_dump()),
            {"ratio": ratio, "seed": seed, "arms": settings.arms, "threads": threads},
        )
        for seed in settings.seeds
        for ratio in settings.ratios
    }


def check(settings: SweepConfig) -> None:
    """Refuse, before any work, experiments and searches that cannot be.

    Raises:
        UserError: in one line that names the experiment.
    """
    configs = experiments(settings)
    for name, config in configs.items():
        with error_context(name):
            steps.check(config)
    if not settings.trials:
        return
    from kmpl import tuning  # slow to import, and most sweeps do without

    if taken := set(settings.seeds) & set(tuning.seeds(settings.draws)):
        raise UserError(f"seed {min(taken)} is one that is tuned on; give other seeds")
    for ratio, config in _firsts(settings, configs).items():
        with error_context(f"ratio {ratio}, tuning"):
            tuning.check(config, settings.search)


def _firsts(settings: SweepConfig, configs: Mapping[str, ExperimentConfig]) -> dict[float, ExperimentConfig]:
    """Return the experiment of each labelled ratio that is tuned for it."""
    return {ratio: configs[experiment_name(ratio, settings.seeds[0])] for ratio in settings.ratios}


def run(settings: SweepConfig, place: Workspace, engine: Engine | None = None) -> SweepReport:
    """Run what of the sweep is not finished yet and return the report over all of it.

    Raises:
        UserError: what one line can say: settings that cannot be, a sweep of that name that runs now or stands for
            other settings, a store that does not answer, a training that diverged.
    """
    settings = named(settings)
    engine = engine or Engine()
    check(settings)
    configs = experiments(settings)
    client = tracking.open_store(place.mlruns)
    refuse_other_settings(client, settings)
    studies = _tuned(settings, configs, place, engine) if settings.trials else ()
    with _only_one(place, settings):
        refuse_other_settings(client, settings)  # somebody may have used the name since
        configs = with_tuned(configs, studies)
        keys = {name: _key(name, config) for name, config in configs.items()}
        whole = hashlib.sha256("".join(keys.values()).encode()).hexdigest()
        with tracking.store_answers(), sweep_run(client, settings, whole, place.command) as sweep:
            sweep.adopt([study.run for study in studies])
            cells = [
                ExperimentJob(name=name, config=config, workspace=place, tags=tuple(sweep.tags(keys[name]).items()))
                for name, config in configs.items()
            ]
            with stopping_all():
                summaries = _all_done(cells, sweep, engine, settings.jobs)
            return engine.conclude(partial(_conclude, settings, place, sweep, summaries, studies))


def with_tuned(configs: Mapping[str, ExperimentConfig], studies: Sequence[StudyRecord]) -> dict[str, ExperimentConfig]:
    """Return the experiments with what was found best at each ratio, and the untuned ones beside them."""
    if not studies:
        return dict(configs)
    from kmpl.tuning import tuned

    best = {config.ratio: tuned(config, [s for s in studies if s.ratio == config.ratio]) for config in configs.values()}
    both = {name: merge(best[config.ratio], {"seed": config.seed}) for name, config in configs.items()}
    return both | {untuned(name): config for name, config in configs.items()}


def _tuned(
    settings: SweepConfig, configs: Mapping[str, ExperimentConfig], place: Workspace, engine: Engine
) -> tuple[StudyRecord, ...]:
    """Return the studies of all labelled ratios; what is best at one is among the first to be tried at the next.

    No lock is held: other processes that were given the same command work on the same studies.
    """
    from kmpl import tuning

    tuning.open_studies(tuning.address(place.mlruns, place.studies))  # says at once if it does not answer
    found: tuple[StudyRecord, ...] = ()
    for ratio, config in _firsts(settings, configs).items():
        about = f"ratio {ratio}, tuning"
        task = Tuning(about, settings.name, config, place, settings.trials, settings.search, found[-2:], settings.draws)
        with stopping_all():
            waits = list(engine.distribute(partial(run_tuning, engine.wrap), task.shared(settings.jobs), settings.jobs))
            studies, *_ = [wait() for wait in waits]  # all of them found the same
        found += studies
    return found


def _all_done(cells: Sequence[ExperimentJob], sweep: SweepRun, engine: Engine, jobs: int) -> dict[str, Summary]:
    """Return the summary of each experiment. One that diverges does not keep the others from being done."""
    found = {cell.name: sweep.finished(dict(cell.tags)["key"]) for cell in cells}
    for cell in cells:
        if found[cell.name]:
            Journal(cell.workspace.events).write(cell=cell.name, kind="finished before")
    missing = [cell for cell in cells if not found[cell.name]]
    diverged: list[DivergedError] = []
    waits = engine.distribute(partial(run_experiment, engine.wrap), missing, jobs) if missing else iter(())
    for cell, wait in zip(missing, waits, strict=True):
        try:
            found[cell.name] = wait()
        except DivergedError as error:
            Journal(cell.workspace.events).write(cell=cell.name, kind="diverged")
            diverged.append(error)
    if diverged:
        more = f"; and {len(diverged) - 1} more experiments" if len(diverged) > 1 else ""
        raise UserError(f"{diverged[0]}{more}; all others are finished and kept") from diverged[0]
    return {name: summary for name, summary in found.items() if summary}


def _conclude(
    settings: SweepConfig,
    place: Workspace,
    sweep: SweepRun,
    summaries: dict[str, Summary],
    studies: tuple[StudyRecord, ...],
) -> SweepReport:
    """Compare, see to the champion, and log the report; a sweep that was finished before has done all this."""
    main = [summary for name, summary in summaries.items() if not is_untuned(name)]
    found = compare(settings, main, [s for name, s in summaries.items() if is_untuned(name)], studies)
    best = Candidates(settings, sweep, summaries)
    before = sweep.report() if sweep.finished_before else None
    same = before and before.digest == found.digest and before.settings.model == settings.model
    if before and same and best.is_registered():
        return before
    more: dict[str, Any] = {"champion": best.promoted(_locks(place.mlruns) / "champion.lock"), "run": sweep.id}
    more["runs"] = {name: str(summary["mlflow_run_id"]) for name, summary in summaries.items()}
    about = environment() | {"command": place.command, "experiment": sweep.experiment, "date": now()}
    found = found.model_copy(update=more | {"environment": about})
    files: dict[str, str | bytes] = {
        "sweep.json": found.model_dump_json(indent=2),
        "report.html": sweep_page.html(found),
    }
    sweep.closed(found, files | sweep_plots.pictures(found), sweep_page.markdown(found))
    return found


def _key(name: str, config: ExperimentConfig) -> str:
    """Return what an experiment is found by; tuned and untuned are two, even where the best is what was given."""
    use_threads(config.threads)
    more: dict[str, object] = {"untuned": True} if is_untuned(name) else {}
    more |= {"content": content(config.dataset)}
    return key("experiment", config, settings=config.model_dump(mode="json"), **more)


def _locks(mlruns: Path) -> Path:
    folder = mlruns / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _only_one(place: Workspace, settings: SweepConfig) -> Iterator[None]:
    """Hold the sweep's lock; the operating system lets go of it when this process dies, however it dies.

    Who has tuned together with others waits for the one that does the rest, and then finds all of it done.
    """
    name = settings.name
    lock = FileLock(_locks(place.mlruns) / f"sweep-{settings.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not settings.trials:
            raise UserError(
                f"sweep '{name}' is running already; wait for it, or give this one another --name"
            ) from error
        Journal(place.events, cell=name).say(f"{name}: all trials are done; another process does the rest")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
