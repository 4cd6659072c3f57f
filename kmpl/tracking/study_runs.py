"""Tuning in MLflow: a run per study, and below it a child run per trial."""

import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from kmpl.tracking.client import experiment_id, link, page, search
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_params, start

STUDIES = "http://127.0.0.1:8080"  # of `kmpl up`
_KEY = "study_key"  # tag


class StudyRun:
    """The run of a study, opened anew or found again; who calls holds a lock, so there is one.

    Args:
        client: of the store.
        name: of the study.
        sweep: that it belongs to.
        settings: that it stands for.
        note: for MLflow's page.
        key: tells it from a study of the same name that was deleted, whose run is closed and keeps its trials.
        old: it has trials already, maybe of a version that gave no keys.
    """

    def __init__(
        self,
        client: MlflowClient,
        name: str,
        sweep: str,
        settings: Mapping[str, Any],
        note: str,
        key: str,
        old: bool = False,
    ) -> None:
        self.client, self.name, self.sweep, self.key = client, name, sweep, key
        known = search(client, kind="study", study=name)
        own = [run for run in known if run.data.tags.get(_KEY) == key]
        own = own or [run for run in known if old and _KEY not in run.data.tags][:1]
        if own:
            self.id, self.open = str(own[0].info.run_id), own[0].info.status != "FINISHED"
            client.set_tag(self.id, _KEY, key)
            if own[0].info.status in ("KILLED", "FAILED"):
                client.update_run(self.id, status="RUNNING")
        else:
            self.open = True
            tags = {"kind": "study", "study": name, "sweep": sweep, _KEY: key, MLFLOW_RUN_NOTE: note}
            self.id = start(client, name, environment() | tags)
            log_params(client, self.id, settings)
        self._part_from([run for run in known if run.info.run_id != self.id])
        for run in search(client, kind="trial", study=name, study_key=key):
            if run.data.tags[MLFLOW_PARENT_RUN_ID] != self.id:  # the study's run was deleted in MLflow
                client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)

    def _part_from(self, deleted: Sequence[Run]) -> None:
        """Close the runs of studies of the same name that were deleted in Optuna."""
        for run in deleted:
            if run.info.status == "RUNNING":
                self.client.set_terminated(run.info.run_id, "KILLED")
        link(self.client, [run for run in deleted if "successor" not in run.data.tags], self.id)

    def goes_on(self) -> None:
        """Open a run again that was closed: there is another trial."""
        if not self.open:
            self.open = True
            self.client.update_run(self.id, status="RUNNING")

    def stopped(self, status: str, others: Callable[[], bool]) -> None:
        """Close a run that is not done, unless ``others`` are at work on the study."""
        if self.open and not others():
            self.client.set_terminated(self.id, status)

    def close_dead(self, alive: Collection[int]) -> None:
        """Close as KILLED the runs of trials that nobody is at work on."""
        for run in search(self.client, kind="trial", study=self.name):
            gone = run.data.tags.get(_KEY, self.key) != self.key or int(run.data.tags["trial"]) not in alive
            if run.info.status == "RUNNING" and gone:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def trial(self, number: int, values: Mapping[str, Any]) -> "TrialRun":
        """Open the run of a trial."""
        return TrialRun(self, number, values)

    def closed(self, figures: Mapping[str, bytes], note: str) -> None:
        """Close the run of a study that is done, with what all its trials show."""
        _log_figures(self.client, self.id, figures)
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        self.client.set_terminated(self.id, "FINISHED")


class TrialRun:
    """The run of a trial: its values as params, a metric per compared point, how it ended."""

    def __init__(self, study: StudyRun, number: int, values: Mapping[str, Any]) -> None:
        self.client, self.points = study.client, list[Metric]()
        base = os.environ.get("KMPL_OPTUNA_PAGES", STUDIES)
        tags = {"kind": "trial", "trial": str(number), "study": study.name, "sweep": study.sweep, _KEY: study.key}
        tags[MLFLOW_PARENT_RUN_ID] = study.id
        tags[MLFLOW_RUN_NOTE] = f"Trial {number} of study “{study.name}” on [Optuna's pages]({base})"
        self.id = start(self.client, f"trial {number}", tags)
        log_params(self.client, self.id, values)

    @property
    def page(self) -> str:
        """Address of the run on MLflow's pages."""
        return page(experiment_id(self.client), self.id)

    def told(self, value: float, step: int) -> None:
        """Keep a value on the way; all are written at the end, because each write takes its time."""
        self.points.append(Metric("validation/value", value, int(time.time() * 1000), step))

    def closed(self, state: str, numbers: Mapping[str, float], figures: Mapping[str, bytes], why: str = "") -> None:
        """Close the run.

        Args:
            state: complete, pruned or diverged.
            numbers: metrics by name.
            figures: PNG files' contents by name.
            why: it was pruned, or diverged.
        """
        now = int(time.time() * 1000)
        self.points += [Metric(name, float(value), now, 0) for name, value in numbers.items()]
        self.client.log_batch(self.id, metrics=self.points)
        _log_figures(self.client, self.id, figures)
        self.client.set_tag(self.id, "state", state)
        if why:
            self.client.set_tag(self.id, "why", why)
        self.client.set_terminated(self.id, "FAILED" if state == "diverged" else "FINISHED")

    def killed(self) -> None:
        """Close the run of a trial that was interrupted."""
        self.client.set_terminated(self.id, "KILLED")


def _log_figures(client: MlflowClient, run: str, figures: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in figures.items():
            (Path(folder) / f"{name}.png").write_bytes(picture)
        if figures:
            client.log_artifacts(run, folder, "figures")
