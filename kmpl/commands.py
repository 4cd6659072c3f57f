"""What each command does: read the settings, hand the steps to the experiment, say where the results are."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from kmpl.config import ExperimentConfig, Method, Settings
from kmpl.presets import layered, load, made_for, said
from kmpl.servers import HOST, check_port, masked
from kmpl.sweep_config import SweepConfig, SweepOptions, TuneOptions
from kmpl.targets import check_target

if TYPE_CHECKING:
    from kmpl.comparison import SweepReport

M = TypeVar("M", bound=Method)
Chosen = Annotated[ExperimentConfig | None, Parameter(name="*", negative_iterable="")]
Folder = Annotated[Path, Parameter(name="--mlruns")]


def run(
    *,
    preset: str = "default",
    config: Path | None = None,
    json: Path | None = None,
    mlruns: Folder = Path("mlruns"),
    quiet: Annotated[bool, Parameter(negative="")] = False,
    settings: Chosen = None,
) -> None:
    """Run the experiment: pretrain on the few labels, pseudo-label the rest, retrain, compare on the test.

    Args:
        preset: default (the protocol as written), quick (a smaller pool, fewer epochs) or notebook (VGG16, the
            notebook's constants).
        config: TOML file of settings; it wins over the preset.
        json: Write the report to this file.
        mlruns: Folder of the tracked runs.
        quiet: Print nothing but errors.
        settings: Single settings; they win over the file and the preset.
    """
    chosen, told = load(preset, config, given(settings)), said(config, given(settings))
    if json is not None:
        check_target(json, "--json")
    # What is heavy is imported only now that the settings are known to be right.
    from kmpl import bars, experiment, tracking
    from kmpl import report as reports
    from kmpl.cells import Place
    from kmpl.checkpoints import kept
    from kmpl.evaluation import evaluate
    from kmpl.sizing import fitted
    from kmpl.steps import load as load_pool
    from kmpl.tracking.runs import experiment_run

    console = Console(quiet=quiet)
    chosen = _shown(chosen, fitted(chosen, told, made_for(preset)), console)
    loaded = load_pool(chosen)
    client = tracking.open_store(mlruns)
    with tracking.store_answers(), experiment_run(client, chosen, shlex.join(["kmpl", *sys.argv[1:]])) as tracked:
        with bars.shown(console) as watch:
            steps = experiment.Steps(
                evaluate=evaluate, load=lambda _: loaded, watch=watch, begun=tracked.begun, finished=tracked.finished
            )
            outcome = experiment.run(chosen, kept(steps, Place(mlruns).store))
        numbers = reports.summary(chosen, outcome, tracked.id)
        tracked.closed(outcome, numbers)
        if json is not None:
            reports.write_json(numbers, json)
    console.print(reports.table(outcome))
    where = _command("ui", mlruns=mlruns)
    console.print(f"Curves, confusions, clusters, models: [bold]{where}[/bold], then run {tracked.id[:8]}")


class How(Settings):
    """How a sweep is run, and where its results go."""

    preset: str = "default"
    """default (the protocol as written), quick (a smaller pool, fewer epochs) or notebook (VGG16, its constants)."""
    config: Path | None = None
    """TOML file of settings; it wins over the preset."""
    engine: Literal["prefect", "direct"] = "prefect"
    """prefect (runs show on Prefect's pages; a server of its own if PREFECT_API_URL names none) or direct."""
    json_: Annotated[Path | None, Parameter(name="--json")] = None
    """Write the report to this file."""
    storage: str = ""
    """Address of Optuna's storage (postgresql://…, or a file); empty: OPTUNA_STORAGE, or a journal beside the runs."""
    mlruns: Folder = Path("mlruns")
    """Folder of the tracked runs, of the studies and of the store."""
    quiet: Annotated[bool, Parameter(negative="")] = False
    """Print nothing but errors."""


def sweep(
    *,
    options: Annotated[SweepOptions | None, Parameter(name="*", negative_iterable="")] = None,
    how: Annotated[How | None, Parameter(name="*")] = None,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Run all labelled ratios × seeds × arms and compare them. Run again, it goes on where it was.

    Args:
        options: What to sweep over.
        how: How to run it.
        settings: Single settings; they win over the file and the preset.
    """
    how = how or How()
    sweep_and_show(_fitted(sweep_settings(given(options), how, given(settings)), how, given(settings)), how)


def tune(
    *,
    options: Annotated[TuneOptions | None, Parameter(name="*", negative_iterable="")] = None,
    how: Annotated[How | None, Parameter(name="*")] = None,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Find the best settings for each labelled ratio, then compare them with the given ones on fresh seeds.

    The same as a sweep with trials; any number of processes given the same command work on the same studies.

    Args:
        options: What to tune, and on which fresh seeds to compare.
        how: How to run it.
        settings: Single settings; they win over the file and the preset.
    """
    how = how or How()
    asked = (options or TuneOptions()).model_dump()
    sweep_and_show(_fitted(sweep_settings(asked, how, given(settings)), how, given(settings)), how)


def given(settings: Settings | None) -> dict[str, Any]:
    """Return what was said on the command line, and nothing else."""
    return settings.model_dump(exclude_unset=True) if settings else {}


def sweep_settings(options: dict[str, Any], how: How, settings: dict[str, Any]) -> SweepConfig:
    """Return the settings of a sweep.

    Args:
        options: fields of ``SweepConfig`` but the experiment.
        how: which file and preset it takes.
        settings: single settings; they win over the file and the preset.
    """
    method = layered(Method(), how.preset, how.config, settings)
    return SweepConfig.model_validate(options | {"experiment": method})


def _fitted(chosen: SweepConfig, how: How, settings: dict[str, Any]) -> SweepConfig:
    """Return the settings of a sweep with clusters that fit its pool, where nobody said how many."""
    told = said(how.config, settings)
    if how.json_ is not None:
        check_target(how.json_, "--json")
    from kmpl.sizing import fitted

    method = fitted(chosen.experiment, told, made_for(how.preset))
    return chosen.model_copy(update={"experiment": _shown(chosen.experiment, method, Console(quiet=how.quiet))})


def _shown(before: M, now: M, console: Console) -> M:
    """Say how many clusters were chosen for the pool's size, and return the settings that have them."""
    was, clusters = before.clustering.n_clusters, now.clustering.n_clusters
    if was != clusters:
        console.print(
            f"{clusters} clusters, for the pool's size ({was} are for a larger one; --clustering.n-clusters says "
            "another number)",
            highlight=False,
            soft_wrap=True,
        )
    return now


def sweep_and_show(chosen: SweepConfig, how: How) -> "SweepReport":
    """Run a sweep, print its table and what to do next, and return its report."""
    if how.json_ is not None:
        check_target(how.json_, "--json")
    from kmpl import pages, progress, tracking
    from kmpl import report as reports
    from kmpl import sweep as sweeps
    from kmpl.cells import Place

    if how.engine == "prefect":
        sweeps.check(chosen)  # starting its server takes seconds
    console, mlruns = Console(quiet=how.quiet), how.mlruns
    tracking.open_store(mlruns)  # says at once what is wrong with the folder or the server
    with progress.shown(mlruns, chosen, console) as events:
        command = masked(shlex.join(["kmpl", *sys.argv[1:]]))
        place = Place(mlruns.resolve(), command, events, how.storage)
        if how.engine == "prefect":
            from flows.engine import run_here

            found = run_here(chosen, place)
        else:
            found = sweeps.run(chosen, place)
    if how.json_ is not None:
        reports.write_json(found.model_dump(mode="json"), how.json_)
    console.print(pages.terminal(found))
    console.print(f"Champion: {found.champion}", highlight=False)
    page, where = _command("report", found.name, "--out", "report.html", mlruns=mlruns), _command("ui", mlruns=mlruns)
    console.print(f"As a page: [bold]{page}[/bold]; all runs: [bold]{where}[/bold]", soft_wrap=True)
    return found


def report(name: str, /, *, out: Path, mlruns: Folder = Path("mlruns"), overwrite: bool = False) -> None:
    """Write the report of a finished sweep as one page that needs nothing else.

    Args:
        name: The sweep's name.
        out: The page, report.html say.
        mlruns: Folder of the tracked runs.
        overwrite: Replace the page if it exists.
    """
    check_target(out, "--out", overwrite)
    from kmpl import pages, tracking
    from kmpl.store import whole_file
    from kmpl.tracking.sweeps import find_report

    found = find_report(tracking.open_store(mlruns), name)
    with whole_file(out) as draft:
        draft.write_text(pages.html(found), encoding="utf-8")
    print(f"{out}: {out.stat().st_size / 1024:.0f} KiB")


def cache(*, clear: Annotated[bool, Parameter(negative="")] = False, mlruns: Folder = Path("mlruns")) -> None:
    """Show what the store of finished steps holds; it can be cleared at any time and costs only time.

    Args:
        clear: Remove all of it.
        mlruns: Folder of the store.
    """
    from kmpl.cells import Place

    store = Place(mlruns).store
    sizes = store.sizes()
    grid = Table("kind", box=None, pad_edge=False)
    for name in ("entries", "MB"):
        grid.add_column(name, justify="right")
    for kind, (count, size) in sizes.items():
        grid.add_row(kind, f"{count:,}", f"{size / 1e6:,.1f}")
    grid.add_row("all", f"{sum(c for c, _ in sizes.values()):,}", f"{sum(s for _, s in sizes.values()) / 1e6:,.1f}")
    Console().print(grid)
    if clear:
        store.clear()
    print(f"{'cleared' if clear else 'in'} {store.folder}")


def ui(*, mlruns: Folder = Path("mlruns"), port: int = 5000) -> None:
    """Start MLflow's pages on the runs so far, for this machine only. Ctrl-C stops them.

    Args:
        mlruns: Folder of the tracked runs.
        port: Port on 127.0.0.1.
    """
    check_port(port, "MLflow", "--port")
    from kmpl import tracking

    tracking.open_store(mlruns)
    print(f"MLflow: http://{HOST}:{port}  (Ctrl-C stops it)", flush=True)
    server = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The server takes this process's place, so that whoever stops kmpl stops it too.
    os.execve(sys.executable, [*server, "--backend-store-uri", tracking.tracking_uri(mlruns)], lean)


def _command(*words: str, mlruns: Path) -> str:
    """Return what to type next, on the same runs."""
    return shlex.join(["kmpl", *words, *([] if mlruns == Path("mlruns") else ["--mlruns", str(mlruns)])])
