"""A sweep in MLflow: one parent run above the runs of its experiments, and what became of killed ones."""

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from kmpl.config.base import flatten
from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.reports.comparison import SweepReport
from kmpl.runtime.servers import masked
from kmpl.tracking.client import closing, experiment_id, link_successor, search, search_deleted
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_params, start

_VERSION = "version.kmpl"  # tag


class SweepRun:
    """An open parent run of a sweep; its predecessors' finished parts are below it too."""

    def __init__(self, client: MlflowClient, settings: SweepConfig, key: str, command: str) -> None:
        self.client, self.name, self.experiment = client, settings.name, experiment_id(client)
        earlier = search(client, kind="sweep", sweep=settings.name)
        _close_dead(client, settings.name)
        done = next((run for run in earlier if run.info.status == "FINISHED" and run.data.tags.get("key") == key), None)
        self.finished_before = done is not None
        if done:
            self.id = str(done.info.run_id)
            return
        tags = {"kind": "sweep", "sweep": settings.name, "key": key, "command": command}
        tags["settings"] = settings.configuration()
        self.id = start(client, settings.name, environment() | tags)
        log_params(client, self.id, settings.model_dump(mode="json"))
        link_successor(client, earlier, self.id)

    def finished(self, key: str) -> dict[str, Any] | None:
        """Return the summary of an experiment that this sweep has finished, now or before it was killed."""
        runs = search(self.client, kind="experiment", sweep=self.name, key=key)
        for run in (run for run in runs if run.info.status == "FINISHED"):
            summary = _artifact(self.client, run.info.run_id, "report.json")
            if summary is not None:
                if run.data.tags.get(MLFLOW_PARENT_RUN_ID) != self.id:
                    self.client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)
                return dict(json.loads(summary))
        return None

    def adopt(self, runs: Sequence[str]) -> None:
        """Put runs of studies below this one."""
        for run in runs:
            self.client.set_tag(run, MLFLOW_PARENT_RUN_ID, self.id)

    def tags(self, key: str) -> dict[str, str]:
        """Return what the run of one of the experiments is found by."""
        return {MLFLOW_PARENT_RUN_ID: self.id, "sweep": self.name, "key": key}

    def arm(self, experiment: str, arm: str, deleted: bool = False) -> str | None:
        """Return the id of the finished run of an arm below an experiment's run; None where there is none.

        Args:
            experiment: id of the experiment's run.
            arm: its name.
            deleted: look among the runs that were deleted on MLflow's pages.
        """
        find = search_deleted if deleted else search
        runs = find(self.client, **{"kind": "arm", "arm": arm, MLFLOW_PARENT_RUN_ID: experiment})
        return next((str(run.info.run_id) for run in runs if run.info.status == "FINISHED"), None)

    def report(self) -> SweepReport | None:
        """Return the report that this run holds; None where there is none that can be read."""
        return _report(self.client, self.id)

    def closed(
        self, report: SweepReport, files: Mapping[str, str] | Mapping[str, bytes] | Mapping[str, str | bytes], note: str
    ) -> None:
        """Log the report: its numbers, pages and figures, and a note for MLflow's page."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            self.client.log_artifacts(self.id, folder)
        for row in report.rows:
            self.client.log_metric(self.id, f"test/accuracy/{row.arm}", row.mean, step=round(1000 * row.ratio))
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        self.client.set_tag(self.id, "champion", report.champion)


@contextlib.contextmanager
def sweep_run(client: MlflowClient, settings: SweepConfig, key: str, command: str) -> Iterator[SweepRun]:
    """Open a sweep's run, or find the finished one of the same key; close it whatever happens."""
    run = SweepRun(client, settings, key, command)
    with contextlib.nullcontext() if run.finished_before else closing(client, run.id):
        try:
            yield run
        except Exception:
            raise
        except BaseException:  # stopped: whoever worked for it was stopped too
            with contextlib.suppress(MlflowException, SQLAlchemyError):
                _close_dead(client, settings.name, run.id)
            raise


def restoring(client: MlflowClient, run: str) -> str:
    """Return MLflow's command that brings a deleted run back."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(masked(client.tracking_uri))} mlflow runs restore --run-id {run}"


def _close_dead(client: MlflowClient, name: str, living: str = "") -> None:
    """Close as KILLED what a dead process left RUNNING; who calls this holds the sweep's lock, so none is alive."""
    for run in search(client, sweep=name):
        if run.info.status == "RUNNING" and run.info.run_id != living:
            client.set_terminated(run.info.run_id, "KILLED")


def refuse_other_settings(client: MlflowClient, settings: SweepConfig) -> None:
    """Refuse a name that stands for another configuration.

    Raises:
        UserError: it does; the line says what differs.
    """
    earlier = search(client, kind="sweep", sweep=settings.name)
    if not earlier:
        return
    before = flatten(json.loads(earlier[0].data.tags.get("settings", "{}")))
    now = flatten(json.loads(settings.configuration()))
    differing = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if differing:
        first = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(
            f"sweep '{settings.name}' stands for other settings: {first} was {before.get(first)}, is now "
            f"{now.get(first)}{more}; choose another --name (steps that did not change are not computed again)"
        )


def _artifact(client: MlflowClient, run: str, name: str) -> str | None:
    """Return a text file of a run; None where it is missing or cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(client.download_artifacts(run, name, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError, UnicodeDecodeError):
            return None


def _report(client: MlflowClient, run: str) -> SweepReport | None:
    text = _artifact(client, run, "sweep.json")
    try:
        return SweepReport.model_validate_json(text) if text else None
    except ValidationError:  # an older version wrote it
        return None


def find_report(client: MlflowClient, name: str) -> SweepReport:
    """Return the report of the newest finished sweep of that name.

    Raises:
        UserError: there is no such sweep, it was deleted or has not been finished, or its report cannot be read.
    """
    sweeps = search(client, kind="sweep")
    runs = [run for run in sweeps if run.data.tags["sweep"] == name]  # not by MLflow: a name may hold its quotes
    finished = [run for run in runs if run.info.status == "FINISHED"]
    for run in finished:
        if report := _report(client, run.info.run_id):
            return report
    if finished:
        tags = finished[0].data.tags
        raise UserError(
            f"the report of sweep '{name}' cannot be read: it is damaged, or kmpl {tags.get(_VERSION)} wrote it in "
            f"another form; run the same command again: {tags['command']}"
        )
    if runs:
        raise UserError(
            f"sweep '{name}' has not been finished; run the same command again: {runs[0].data.tags['command']}"
        )
    if gone := [run for run in search_deleted(client, kind="sweep") if run.data.tags["sweep"] == name]:
        back = restoring(client, gone[0].info.run_id)
        raise UserError(f"the run of sweep '{name}' was deleted in MLflow; {back} brings it back")
    names = sorted({run.data.tags["sweep"] for run in sweeps})
    raise UserError(f"no sweep '{name}' (known: {', '.join(names) or 'none yet'})")
