"""``kmpl sweep`` and ``kmpl tune``: all labelled ratios × seeds × arms, with the given settings or with tuned ones."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from kmpl.commands.options import How, fit_to_pool, overrides_of, sweep_settings
from kmpl.config.experiment import Method
from kmpl.config.sweep import SweepConfig, SweepOptions, TuneOptions
from kmpl.runtime.output_paths import check_target
from kmpl.runtime.typed_command import next_command, typed_command

if TYPE_CHECKING:
    from kmpl.reports.comparison import SweepReport


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
    _sweep(overrides_of(options), how, overrides_of(settings))


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
    _sweep((options or TuneOptions()).model_dump(), how, overrides_of(settings))


def _sweep(options: dict[str, Any], how: How, overrides: dict[str, Any]) -> None:
    sweep_and_show(fit_to_pool(sweep_settings(options, how, overrides), how, overrides), how)


def sweep_and_show(config: SweepConfig, how: How) -> "SweepReport":
    """Run a sweep, print its table and what to do next, and return its report."""
    if how.json_ is not None:
        check_target(how.json_, "--json")
    from kmpl import tracking
    from kmpl.jobs import progress
    from kmpl.jobs import sweep as sweeps
    from kmpl.jobs.workspace import Workspace
    from kmpl.reports import experiment_report as reports
    from kmpl.reports import sweep_page

    if how.engine == "prefect":
        sweeps.check(config)  # starting its server takes seconds
    console = Console(quiet=how.quiet)
    mlruns = how.mlruns
    tracking.open_store(mlruns)  # says at once what is wrong with the folder or the server
    with progress.show_progress(mlruns, config, console) as events:
        workspace = Workspace(mlruns.resolve(), typed_command(), events, how.storage)
        if how.engine == "prefect":
            from flows.engine import run_here

            report = run_here(config, workspace)
        else:
            report = sweeps.run(config, workspace)
    if how.json_ is not None:
        reports.write_json(report.model_dump(mode="json"), how.json_)
    console.print(sweep_page.terminal(report))
    console.print(f"Champion: {report.champion}", highlight=False)
    page = next_command("report", report.name, "--out", "report.html", mlruns=mlruns)
    ui = next_command("ui", mlruns=mlruns)
    console.print(f"As a page: [bold]{page}[/bold]; all runs: [bold]{ui}[/bold]", soft_wrap=True)
    return report
