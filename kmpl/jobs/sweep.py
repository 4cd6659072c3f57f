"""A sweep: one experiment per labelled ratio and seed, each run once, and one report over all of them.

This file holds the order of the work. An engine determines only how steps and experiments are run.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig, experiment_name, is_untuned, untuned
from kmpl.errors import DivergedError, UserError
from kmpl.jobs.experiment import ExperimentJob, Summary, Wrap, error_context, identity, run_experiment
from kmpl.jobs.journal import Journal
from kmpl.jobs.result_key import result_key
from kmpl.jobs.sweep_report import conclude
from kmpl.jobs.tune import TuningJob, run_tuning
from kmpl.jobs.workers import children_stopped_on_signal, run_in_processes
from kmpl.jobs.workspace import Workspace
from kmpl.method import steps
from kmpl.reports.comparison import SweepReport
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.addresses import is_elsewhere
from kmpl.runtime.cores import cores
from kmpl.tracking.sweep_runs import SweepRun, refuse_other_settings, refuse_unseen, sweep_run


@dataclass(frozen=True)
class Engine:
    """How steps and experiments are run. The default needs nothing but this machine."""

    wrap: Wrap = identity
    distribute: Callable[[Callable[[Any], Any], Sequence[Any], int], Iterator[Callable[[], Any]]] = run_in_processes
    conclude: Callable[[Callable[[], SweepReport]], SweepReport] = lambda report: report()


def with_name(settings: SweepConfig) -> SweepConfig:
    """Return the settings with a name; without a given one it is made from the settings, so equal settings share it."""
    if settings.name:
        return settings
    digest = hashlib.sha256(settings.configuration().encode()).hexdigest()[:8]
    return settings.model_copy(
        update={"name": f"{settings.experiment.dataset}-{settings.experiment.protocol}-{digest}".lower()}
    )


def experiment_configs(settings: SweepConfig) -> dict[str, ExperimentConfig]:
    """Return the settings of each experiment by its name: all ratios of the first seed first."""
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
    """Refuse, before any work, impossible experiments and impossible search ranges.

    Raises:
        UserError: in one line that names the experiment.
    """
    configs = experiment_configs(settings)
    for name, config in configs.items():
        with error_context(name):
            steps.check(config)
    if not settings.trials:
        return
    from kmpl import tuning  # slow to import, and most sweeps do without

    if shared_seeds := set(settings.seeds) & set(tuning.draw_seeds(settings.draws)):
        raise UserError(f"seed {min(shared_seeds)} is one that is tuned on; give other seeds")
    for ratio, config in _tuning_configs(settings, configs).items():
        with error_context(f"ratio {ratio}, tuning"):
            tuning.check(config, settings.search)


def _tuning_configs(settings: SweepConfig, configs: Mapping[str, ExperimentConfig]) -> dict[float, ExperimentConfig]:
    """Return the settings that tuning starts from, by labelled ratio: those of the first seed."""
    return {ratio: configs[experiment_name(ratio, settings.seeds[0])] for ratio in settings.ratios}


def run(settings: SweepConfig, workspace: Workspace, engine: Engine | None = None) -> SweepReport:
    """Run the unfinished experiments of the sweep and return the report over all of them.

    Raises:
        UserError: impossible settings, a sweep of that name that is running or has other settings, a store that does
            not answer, a training that diverged.
    """
    settings = with_name(settings)
    engine = engine or Engine()
    check(settings)
    configs = experiment_configs(settings)
    client = tracking.open_store(workspace.mlruns)
    refuse_other_settings(client, settings)
    studies = _tune(settings, configs, workspace, engine) if settings.trials else ()
    with _sweep_lock(workspace, settings) as lock:
        refuse_other_settings(client, settings)  # another process may have used the name since
        if is_elsewhere(workspace.addresses.tracking):
            refuse_unseen(client, settings.name, lock)
        configs = with_tuned(configs, studies)
        keys = {name: _key(name, config) for name, config in configs.items()}
        sweep_key = hashlib.sha256("".join(keys.values()).encode()).hexdigest()
        with tracking.store_answers(), sweep_run(client, settings, sweep_key, workspace.command, lock) as sweep:
            sweep.adopt([study.run for study in studies])
            cells = [
                ExperimentJob(
                    name=name, config=config, workspace=workspace, tags=tuple(sweep.tags(name, keys[name]).items())
                )
                for name, config in configs.items()
            ]
            with children_stopped_on_signal():
                summaries = _run_experiments(cells, sweep, engine, settings.jobs)
            sweep.close_dead()  # Dask gives the work of a worker that dies to another
            last_step = partial(conclude, settings, workspace, sweep, summaries=summaries, studies=studies)
            return engine.conclude(last_step)


def with_tuned(configs: Mapping[str, ExperimentConfig], studies: Sequence[StudyRecord]) -> dict[str, ExperimentConfig]:
    """Return the experiments with the best settings of their ratio, and the untuned experiments beside them."""
    if not studies:
        return dict(configs)
    from kmpl.tuning import best_settings

    best = {
        config.ratio: best_settings(config, [s for s in studies if s.ratio == config.ratio])
        for config in configs.values()
    }
    tuned = {name: merge(best[config.ratio], {"seed": config.seed}) for name, config in configs.items()}
    return tuned | {untuned(name): config for name, config in configs.items()}


def _tune(
    settings: SweepConfig, configs: Mapping[str, ExperimentConfig], workspace: Workspace, engine: Engine
) -> tuple[StudyRecord, ...]:
    """Run and return the studies of all labelled ratios. The best values of one ratio are tried early at the next.

    No lock is held, so that other processes with the same command run trials of the same studies.
    """
    from kmpl import tuning

    # A storage that does not answer is refused before any trial.
    tuning.open_studies(tuning.storage_address(workspace.mlruns, workspace.studies))
    studies: tuple[StudyRecord, ...] = ()
    for ratio, config in _tuning_configs(settings, configs).items():
        job = TuningJob(
            name=f"ratio {ratio}, tuning",
            sweep=settings.name,
            config=config,
            workspace=workspace,
            trials=settings.trials,
            search=settings.search,
            previous=studies[-2:],
            draws=settings.draws,
        )
        with children_stopped_on_signal():
            waits = list(engine.distribute(partial(run_tuning, engine.wrap), job.copies(settings.jobs), settings.jobs))
            pair, *_ = [wait() for wait in waits]  # all processes return the same studies
        studies += pair
    return studies


def _run_experiments(cells: Sequence[ExperimentJob], sweep: SweepRun, engine: Engine, jobs: int) -> dict[str, Summary]:
    """Run the unfinished experiments; return the summary of each. After a divergence the others still run."""
    summaries = {cell.name: sweep.summary(dict(cell.tags)["key"]) for cell in cells}
    for cell in cells:
        if summaries[cell.name]:
            Journal(cell.workspace.events).write(cell=cell.name, kind="finished before")
    missing = [cell for cell in cells if not summaries[cell.name]]
    diverged: list[DivergedError] = []
    waits = engine.distribute(partial(run_experiment, engine.wrap), missing, jobs) if missing else iter(())
    for cell, wait in zip(missing, waits, strict=True):
        try:
            summaries[cell.name] = wait()
        except DivergedError as error:
            Journal(cell.workspace.events).write(cell=cell.name, kind="diverged")
            diverged.append(error)
    if diverged:
        more = f"; and {len(diverged) - 1} more experiments" if len(diverged) > 1 else ""
        raise UserError(f"{diverged[0]}{more}; all others are finished and kept") from diverged[0]
    return {name: summary for name, summary in summaries.items() if summary}


def _key(name: str, config: ExperimentConfig) -> str:
    """Return the key of an experiment in MLflow; tuned and untuned ones differ, even with equal settings."""
    return result_key(config, **({"untuned": True} if is_untuned(name) else {}))


@contextlib.contextmanager
def _sweep_lock(workspace: Workspace, settings: SweepConfig) -> Iterator[str]:
    """Hold the sweep's lock during the block, and yield its address. It is released however this process ends.

    Processes that have tuned together wait here for the one that runs the experiments.

    Raises:
        UserError: another process holds the lock, and the sweep does not tune.
    """
    name, locks = settings.name, workspace.locks
    lock = f"sweep-{name}"
    with locks.try_hold(lock) as is_first:
        if is_first:
            yield locks.address(lock)
            return
    if not settings.trials:
        raise UserError(f"sweep '{name}' is running already; wait for it, or give this one another --name")
    Journal(workspace.events, cell=name).write_trial(f"{name}: all trials are done; another process does the rest")
    with locks.hold(lock):
        yield locks.address(lock)
