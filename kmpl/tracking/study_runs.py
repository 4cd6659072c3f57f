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

from kmpl.tracking.client import experiment_id, kill_running, link_successor, search
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_params, start
from kmpl.tracking.pages import run_url

DASHBOARD_URL = "http://127.0.0.1:8080"
"""Address of Optuna's dashboard if `kmpl up` runs."""
_KEY = "study_key"  # tag


class StudyRun:
    """The run of a study, new or found again. The caller holds a lock, so that there is one.

    Args:
        client: of the store.
        name: of the study.
        sweep: name of the sweep that the study belongs to.
        settings: of the experiment that is tuned.
        note: markdown for MLflow's page.
        key: tells the study from a deleted one of the same name, whose run is closed and keeps its trials.
        has_trials: the study has trials already; an early version of kmpl may have written them, without a key.
    """

    def __init__(
        self,
        client: MlflowClient,
        *,
        name: str,
        sweep: str,
        settings: Mapping[str, Any],
        note: str,
        key: str,
        has_trials: bool = False,
    ) -> None:
        self.client = client
        self.name = name
        self.sweep = sweep
        self.key = key
        runs = search(client, kind="study", study=name)
        own = [run for run in runs if run.data.tags.get(_KEY) == key]
        own = own or [run for run in runs if has_trials and _KEY not in run.data.tags][:1]
        if own:
            self.id = str(own[0].info.run_id)
            self.open = own[0].info.status != "FINISHED"
            client.set_tag(self.id, _KEY, key)
            if own[0].info.status in ("KILLED", "FAILED"):
                client.update_run(self.id, status="RUNNING")
        else:
            self.open = True
            tags = {"kind": "study", "study": name, "sweep": sweep, _KEY: key, MLFLOW_RUN_NOTE: note}
            self.id = start(client, name, environment() | tags)
            log_params(client, self.id, settings)
        self._supersede([run for run in runs if run.info.run_id != self.id])
        for run in search(client, kind="trial", study=name, study_key=key):
            if run.data.tags[MLFLOW_PARENT_RUN_ID] != self.id:  # the study's run was deleted in MLflow
                client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)

    def _supersede(self, others: Sequence[Run]) -> None:
        """Close the runs of studies of the same name that were deleted in Optuna, and link the newest to this run."""
        kill_running(self.client, others)
        link_successor(self.client, [run for run in others if "successor" not in run.data.tags], self.id)

    def reopen(self) -> None:
        """Set a closed run to RUNNING, because the study gets another trial."""
        if not self.open:
            self.open = True
            self.client.update_run(self.id, status="RUNNING")

    def interrupt(self, status: str, has_other_workers: Callable[[], bool]) -> None:
        """Close an unfinished run with this status, unless other processes run trials of the study."""
        if self.open and not has_other_workers():
            self.client.set_terminated(self.id, status)

    def close_dead(self, running_trials: Collection[int]) -> None:
        """Close as KILLED the runs of all trials but those with these numbers."""

        def is_running(run: Run) -> bool:
            return run.data.tags.get(_KEY, self.key) == self.key and int(run.data.tags["trial"]) in running_trials

        runs = search(self.client, kind="trial", study=self.name)
        kill_running(self.client, [run for run in runs if not is_running(run)])

    def start_trial(self, number: int, values: Mapping[str, Any]) -> "TrialRun":
        """Open the run of a trial."""
        return TrialRun(self, number, values)

    def finish(self, figures: Mapping[str, bytes], note: str) -> None:
        """Log the figures and the note of a finished study, and close its run."""
        _log_figures(self.client, self.id, figures)
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        self.client.set_terminated(self.id, "FINISHED")


class TrialRun:
    """The run of a trial: its values as params, a metric per intermediate value, its final state."""

    def __init__(self, study: StudyRun, number: int, values: Mapping[str, Any]) -> None:
        self.client = study.client
        self.metrics: list[Metric] = []
        base_url = os.environ.get("KMPL_OPTUNA_PAGES", DASHBOARD_URL)
        tags = {"kind": "trial", "trial": str(number), "study": study.name, "sweep": study.sweep, _KEY: study.key}
        tags[MLFLOW_PARENT_RUN_ID] = study.id
        tags[MLFLOW_RUN_NOTE] = f"Trial {number} of study “{study.name}” on [Optuna's pages]({base_url})"
        self.id = start(self.client, f"trial {number}", tags)
        log_params(self.client, self.id, values)

    @property
    def url(self) -> str:
        """Address of the run on MLflow's pages."""
        return run_url(experiment_id(self.client), self.id)

    def add_value(self, value: float, step: int) -> None:
        """Remember an intermediate value. ``finish`` logs all of them at once, because each call takes its time."""
        self.metrics.append(Metric("validation/value", value, int(time.time() * 1000), step))

    def finish(self, state: str, *, numbers: Mapping[str, float], figures: Mapping[str, bytes], why: str = "") -> None:
        """Log the results and close the run.

        Args:
            state: complete, pruned or diverged.
            numbers: metrics by name.
            figures: contents of PNG files by name.
            why: reason of pruning or divergence.
        """
        now_ms = int(time.time() * 1000)
        self.metrics += [Metric(name, float(value), now_ms, 0) for name, value in numbers.items()]
        self.client.log_batch(self.id, metrics=self.metrics)
        _log_figures(self.client, self.id, figures)
        self.client.set_tag(self.id, "state", state)
        if why:
            self.client.set_tag(self.id, "why", why)
        self.client.set_terminated(self.id, "FAILED" if state == "diverged" else "FINISHED")

    def kill(self) -> None:
        """Close the run of an interrupted trial."""
        self.client.set_terminated(self.id, "KILLED")


def _log_figures(client: MlflowClient, run_id: str, figures: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in figures.items():
            (Path(folder) / f"{name}.png").write_bytes(content)
        if figures:
            client.log_artifacts(run_id, folder, "figures")
