"""The last step of a sweep: compare the arms, promote the best network, log the report."""

from collections.abc import Mapping
from typing import Any

from kmpl.config.sweep import SweepConfig, is_untuned
from kmpl.jobs.experiment import Summary
from kmpl.jobs.workspace import Workspace
from kmpl.reports import sweep_page, sweep_plots
from kmpl.reports.comparison import SweepReport, compare
from kmpl.reports.studies import StudyRecord
from kmpl.tracking.candidates import Candidates
from kmpl.tracking.environment import environment, now
from kmpl.tracking.sweep_runs import SweepRun


def conclude(
    settings: SweepConfig,
    workspace: Workspace,
    sweep: SweepRun,
    *,
    summaries: Mapping[str, Summary],
    studies: tuple[StudyRecord, ...],
) -> SweepReport:
    """Compare the arms, promote the best network if it beats the champion, log the report, and return it.

    If an earlier run of the sweep has logged the same report, that report is returned and nothing is logged.
    """
    main = [summary for name, summary in summaries.items() if not is_untuned(name)]
    untuned_summaries = [summary for name, summary in summaries.items() if is_untuned(name)]
    report = compare(settings, main, untuned=untuned_summaries, studies=studies)
    candidates = Candidates(settings, sweep, summaries)
    previous = sweep.report() if sweep.is_finished else None
    is_same = previous and previous.digest == report.digest and previous.settings.model == settings.model
    if previous and is_same and candidates.is_registered():
        return previous
    details: dict[str, Any] = {
        "champion": candidates.promote_best(workspace.locks),
        "run": sweep.id,
        "runs": {name: str(summary["mlflow_run_id"]) for name, summary in summaries.items()},
        "environment": environment() | {"command": workspace.command, "experiment": sweep.experiment, "date": now()},
    }
    report = report.model_copy(update=details)
    files: dict[str, str | bytes] = {
        "sweep.json": report.model_dump_json(indent=2),
        "report.html": sweep_page.html(report),
    }
    sweep.log_report(report, files=files | sweep_plots.png_files(report), note=sweep_page.markdown(report))
    return report
