"""A sweep in MLflow: one parent run above the runs of its experiments and studies."""

import contextlib
import json
import platform
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
from kmpl.runtime.addresses import LOCKS
from kmpl.runtime.servers import masked
from kmpl.tracking.client import closing, experiment_id, kill_running, link_successor, search, search_deleted
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_params, start
from kmpl.tracking.pages import share_view
from kmpl.tracking.summary_runs import log_summaries

_VERSION = "version.kmpl"  # tag


class SweepRun:
    """The parent run of a sweep. Finished experiments of earlier, killed runs of the sweep are moved below it."""

    def __init__(self, client: MlflowClient, settings: SweepConfig, key: str, command: str, lock: str = "") -> None:
        self.client = client
        self.name = settings.name
        self.experiment = experiment_id(client)
        earlier = search(client, kind="sweep", sweep=settings.name)
        kill_running(client, search(client, sweep=settings.name))  # the caller holds the sweep's lock
        finished = [run for run in earlier if run.info.status == "FINISHED" and run.data.tags.get("key") == key]
        self.is_finished = bool(finished)
        """An earlier run has finished the same sweep."""
        if finished:
            self.id = str(finished[0].info.run_id)
            return
        tags = {"kind": "sweep", "sweep": settings.name, "key": key, "command": command}
        tags |= {"settings": settings.configuration()} | ({"host": platform.node(), "lock": lock} if lock else {})
        self.id = start(client, settings.name, environment() | tags)
        log_params(client, self.id, settings.model_dump(mode="json"))
        link_successor(client, earlier, self.id)

    def summary(self, key: str) -> dict[str, Any] | None:
        """Return the summary of a finished experiment, also of an earlier run; None if there is none."""
        runs = search(self.client, kind="experiment", sweep=self.name, key=key)
        for run in runs:
            if run.info.status != "FINISHED":
                continue
            summary = _read_artifact(self.client, run.info.run_id, "report.json")
            if summary is not None:
                if run.data.tags.get(MLFLOW_PARENT_RUN_ID) != self.id:
                    self.client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)
                return dict(json.loads(summary))
        return None

    def close_dead(self) -> None:
        """Close as KILLED what still seems to run below this run, once nothing does: its worker died."""
        kill_running(self.client, [run for run in search(self.client, sweep=self.name) if run.info.run_id != self.id])

    def adopt(self, runs: Sequence[str]) -> None:
        """Move runs of studies below this one."""
        for run in runs:
            self.client.set_tag(run, MLFLOW_PARENT_RUN_ID, self.id)

    def tags(self, name: str, key: str) -> dict[str, str]:
        """Return the tags of the run of the experiment of that name with this key."""
        return {MLFLOW_PARENT_RUN_ID: self.id, "sweep": self.name, "experiment": name, "key": key}

    def arm_run(self, experiment: str, arm: str, deleted: bool = False) -> str | None:
        """Return the id of the finished run of an arm below an experiment's run; None if there is none.

        Args:
            experiment: id of the experiment's run.
            arm: its name.
            deleted: search the runs that were deleted in MLflow.
        """
        find = search_deleted if deleted else search
        runs = find(self.client, **{"kind": "arm", "arm": arm, MLFLOW_PARENT_RUN_ID: experiment})
        return next((str(run.info.run_id) for run in runs if run.info.status == "FINISHED"), None)

    def report(self) -> SweepReport | None:
        """Return the report in this run; None if it is missing or cannot be read."""
        return _read_report(self.client, self.id)

    def log_report(self, report: SweepReport, *, files: Mapping[str, str | bytes], note: str) -> None:
        """Log the report.

        Args:
            report: its numbers become metrics.
            files: contents of the files to log, by path.
            note: markdown for MLflow's page.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            self.client.log_artifacts(self.id, folder)
        for row in report.rows:
            self.client.log_metric(self.id, f"test/accuracy/{row.arm}", row.mean, step=round(1000 * row.ratio))
        log_summaries(self.client, self.id, report)
        share_view(self.client)
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        self.client.set_tag(self.id, "champion", report.champion)


@contextlib.contextmanager
def sweep_run(
    client: MlflowClient, settings: SweepConfig, key: str, command: str, lock: str = ""
) -> Iterator[SweepRun]:
    """Yield a new run of the sweep, which is closed at the end, or the finished run with the same key.

    Args:
        client: of the store.
        settings: of the sweep.
        key: digest of all that its results depend on.
        command: command line that started it.
        lock: address of the sweep's lock, which the caller holds.
    """
    run = SweepRun(client, settings, key, command, lock)
    with contextlib.nullcontext() if run.is_finished else closing(client, run.id):
        try:
            yield run
        except Exception:
            raise
        except BaseException:  # interrupted, and its worker processes with it
            with contextlib.suppress(MlflowException, SQLAlchemyError):
                run.close_dead()
            raise


def restore_command(client: MlflowClient, run: str) -> str:
    """Return MLflow's command that restores a deleted run."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(masked(client.tracking_uri))} mlflow runs restore --run-id {run}"


def refuse_unseen(client: MlflowClient, name: str, lock: str) -> None:
    """Refuse a sweep that is at work on another machine, whose lock is not seen here: the two would mix.

    Args:
        client: of a store that machines share.
        name: of the sweep.
        lock: address of the sweep's lock, which the caller holds.

    Raises:
        UserError: there is one.
    """
    for run in search(client, kind="sweep", sweep=name):
        host, seen = run.data.tags.get("host", ""), run.data.tags.get("lock") == lock
        if run.info.status == "RUNNING" and host not in ("", platform.node()) and not seen:
            delete = f"MLFLOW_TRACKING_URI={shlex.quote(masked(client.tracking_uri))} mlflow runs delete --run-id"
            raise UserError(
                f"sweep '{name}' runs on {host}, and this machine does not see its lock; give both {LOCKS}=postgresql:"
                f"//…, and it is noticed when one dies; if {host} died without it: {delete} {run.info.run_id}"
            )


def refuse_other_settings(client: MlflowClient, settings: SweepConfig) -> None:
    """Refuse a name that belongs to another configuration.

    Raises:
        UserError: the name belongs to other settings; the text names the first difference.
    """
    earlier = search(client, kind="sweep", sweep=settings.name)
    if not earlier:
        return
    defaults = SweepConfig(ratios=settings.ratios, seeds=settings.seeds)  # what a version without a setting did
    previous = flatten(json.loads(defaults.configuration())) | flatten(
        json.loads(earlier[0].data.tags.get("settings", "{}"))
    )
    current = flatten(json.loads(settings.configuration()))
    names = sorted(previous.keys() | current.keys())
    differing = [name for name in names if previous.get(name) != current.get(name)]
    if differing:
        first = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise UserError(
            f"sweep '{settings.name}' stands for other settings: {first} was {previous.get(first)}, is now "
            f"{current.get(first)}{more}; choose another --name (steps that did not change are not computed again)"
        )


def _read_artifact(client: MlflowClient, run: str, name: str) -> str | None:
    """Return a text file of a run; None if it is missing or cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(client.download_artifacts(run, name, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError, UnicodeDecodeError):
            return None


def _read_report(client: MlflowClient, run: str) -> SweepReport | None:
    text = _read_artifact(client, run, "sweep.json")
    try:
        return SweepReport.model_validate_json(text) if text else None
    except ValidationError:  # of an older version of kmpl, perhaps
        return None


def find_report(client: MlflowClient, name: str) -> SweepReport:
    """Return the report of the newest finished sweep of that name.

    Raises:
        UserError: there is no such sweep, it was deleted, it is unfinished, or its report cannot be read.
    """
    sweeps = search(client, kind="sweep")
    runs = [run for run in sweeps if run.data.tags["sweep"] == name]  # not by MLflow: a name may hold its quotes
    finished = [run for run in runs if run.info.status == "FINISHED"]
    for run in finished:
        if report := _read_report(client, run.info.run_id):
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
    if deleted := [run for run in search_deleted(client, kind="sweep") if run.data.tags["sweep"] == name]:
        command = restore_command(client, deleted[0].info.run_id)
        raise UserError(f"the run of sweep '{name}' was deleted in MLflow; {command} brings it back")
    names = sorted({run.data.tags["sweep"] for run in sweeps})
    known = ", ".join(names) or f"none yet in {masked(client.tracking_uri)}"
    raise UserError(f"no sweep '{name}' (known: {known})")
