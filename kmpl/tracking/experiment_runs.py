"""One experiment in MLflow: a parent run, and a child run per arm."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm
from kmpl.datasets.types import Pool
from kmpl.method.results import ArmReport, Report, Round
from kmpl.reports import experiment_plots
from kmpl.tracking.client import closing, experiment_id, link_successor, search
from kmpl.tracking.environment import environment, installed_packages
from kmpl.tracking.log_model import log_model
from kmpl.training.history import Fit

_BATCH = 90  # MLflow takes at most 100 params a call
_LONGEST_NAME, _LONGEST_RUN = 500, 250  # characters of the names of data sets and runs; PostgreSQL refuses more


def start(client: MlflowClient, name: str, tags: Mapping[str, str], seconds_ago: float = 0.0) -> str:
    """Open a run and return its id."""
    begin = int((time.time() - seconds_ago) * 1000)
    source = {MLFLOW_SOURCE_NAME: "kmpl", MLFLOW_SOURCE_TYPE: "LOCAL"}
    return str(
        client.create_run(experiment_id(client), begin, source | dict(tags), _cut(name, _LONGEST_RUN)).info.run_id
    )


def _cut(name: str, most: int) -> str:
    """Return a name without its beginning where it is too long: paths differ at their ends."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def log_params(client: MlflowClient, run: str, settings: Mapping[str, Any]) -> None:
    """Log a tree of settings with dotted names."""
    params = [Param(name, str(value)) for name, value in flatten(settings).items()]
    for i in range(0, len(params), _BATCH):
        client.log_batch(run, params=params[i : i + _BATCH])


class ExperimentRun:
    """An open parent run and what has been logged below it."""

    def __init__(self, client: MlflowClient, config: ExperimentConfig, command: str, tags: Mapping[str, str]) -> None:
        self.client, self.config, self.tags = client, config, dict(tags)
        self.pool: Pool | None = None
        earlier = self._earlier(kind="experiment")
        self.id = start(client, _title(config), {"kind": "experiment", "command": command} | environment() | self.tags)
        link_successor(client, earlier, self.id)
        log_params(client, self.id, config.model_dump(mode="json"))

    def begun(self, pool: Pool) -> None:
        """Log the pool: the data set with its digest, and the indices of the split."""
        self.pool = pool
        self._log_data(self.id)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "split.json"
            given = pool.labelled
            split = {
                "digest": pool.digest,
                "labelled": pool.sources[given].tolist(),
                "validation": pool.validation_sources.tolist(),
                "unlabelled": pool.sources[~given].tolist(),
            }
            path.write_text(json.dumps(split), encoding="utf-8")
            versions = Path(folder) / "environment.txt"
            versions.write_text("\n".join(installed_packages()) + "\n", encoding="utf-8")
            self.client.log_artifacts(self.id, folder)

    def _log_data(self, run: str) -> None:
        assert self.pool is not None, "begun comes first"
        name = f"{self.config.dataset}, {self.config.protocol} protocol, {self.pool.budget} labels"
        profile = json.dumps(
            {
                "images": len(self.pool.labels),
                "labelled": int(self.pool.labelled.sum()),
                "validation": len(self.pool.validation_labels),
            }
        )
        data = Dataset(
            _cut(name, _LONGEST_NAME),
            self.pool.digest[:36],
            "code",
            json.dumps({"tags": {"pool": "kmpl"}}),
            profile=profile,
        )
        self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])

    def _earlier(self, **tags: str) -> list[Run]:
        """Return what earlier, killed turns of the same sweep logged about the same experiment, newest first."""
        if "sweep" not in self.tags:
            return []
        return search(self.client, sweep=self.tags["sweep"], key=self.tags["key"], **tags)

    def finished(self, arm: ArmReport) -> None:
        """Log one arm as a child run; one that was logged to its end before is moved below this parent as it is."""
        earlier = self._earlier(kind="arm", arm=arm.arm)
        done = next((run for run in earlier if run.info.status == "FINISHED"), None)
        points = metrics_of(arm)
        if done:
            self.client.set_tag(done.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)
        else:
            self._log_arm(arm, points, earlier)
        for view in ("accuracy", *(f"accuracy_{v}" for v in arm.evaluation.views)):
            value = next(p.value for p in points if p.key == f"test/{view}")
            self.client.log_metric(self.id, f"test/{view}/{arm.arm}", value)

    def _log_arm(self, arm: ArmReport, points: list[Metric], earlier: list[Run]) -> None:
        """Log settings, metrics of all epochs and rounds, test, model."""
        assert self.pool is not None, "begun comes first"
        own = {"kind": "arm", "arm": arm.arm, "stop_reason": arm.stop_reason, MLFLOW_PARENT_RUN_ID: self.id}
        run = start(self.client, arm.arm, self.tags | own, seconds_ago=sum(arm.seconds.values()))
        link_successor(self.client, earlier, run)
        with closing(self.client, run):
            log_params(self.client, run, for_arm(self.config, arm.arm).model_dump(mode="json"))
            self._log_data(run)
            for i in range(0, len(points), 900):
                self.client.log_batch(run, metrics=points[i : i + 900])
            log_model(self.client, run, arm.fit.network, self.pool, arm.arm)

    def closed(self, report: Report, summary: Mapping[str, Any]) -> None:
        """Log what only the whole experiment shows: figures and the report's numbers."""
        with tempfile.TemporaryDirectory() as folder:
            for name, figure in experiment_plots.all_figures(report).items():
                figure.savefig(Path(folder) / f"{name}.png")
            self.client.log_artifacts(self.id, folder, "figures")
        self.client.log_dict(self.id, dict(summary), "report.json")
        lines = [f"- **{name}**: {arm.evaluation.accuracy:.2%} of the test right" for name, arm in report.arms.items()]
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, "\n".join(lines))


@contextlib.contextmanager
def experiment_run(
    client: MlflowClient, config: ExperimentConfig, command: str = "", tags: Mapping[str, str] | None = None
) -> Iterator[ExperimentRun]:
    """Open a parent run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error."""
    run = ExperimentRun(client, config, command, tags or {})
    with closing(client, run.id):
        yield run


def points_of(rounds: Sequence[Round], fit: Fit | None = None) -> list[Metric]:
    """Return the numbers of all epochs and rounds; epochs count on through the rounds; without a round, ``fit``'s."""
    fits = [turn.fit for turn in rounds] or ([fit] if fit else [])
    points: list[tuple[str, float, int]] = []
    for step, epoch in enumerate((epoch for fit in fits for epoch in fit.history), start=1):
        points += [("train/loss", epoch.loss, step), ("train/accuracy", epoch.accuracy, step)]
        points += [("validation/loss", epoch.validation_loss, step)]
        points += [("validation/accuracy", epoch.validation_accuracy, step)]
        points += [("train/learning_rate", epoch.learning_rate, step)]
    for turn in rounds:
        shown = turn.diagnostics
        points += [("pseudo_labels/accuracy", shown.accuracy, turn.number)]
        points += [("pseudo_labels/coverage", shown.coverage, turn.number)]
        points += [("pseudo_labels/purity", shown.purity, turn.number)]
        points += [(f"pseudo_labels/count_{c}", n, turn.number) for c, n in enumerate(shown.counts)]
        points += [(f"pseudo_labels/accuracy_{c}", a, turn.number) for c, a in enumerate(shown.class_accuracy)]
    return _finite(points)


def _finite(points: list[tuple[str, float, int]]) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value, step in points if np.isfinite(value)]


def metrics_of(arm: ArmReport) -> list[Metric]:
    """Return all numbers of an arm, named alike in all arms."""
    test = arm.evaluation
    points: list[tuple[str, float, int]] = [("test/accuracy", test.accuracy, 0), ("test/log_loss", test.log_loss, 0)]
    points += [("test/calibration_error", test.calibration_error, 0)]
    points += [(f"test/accuracy_{view}", value, 0) for view, value in test.views.items()]
    points += [(f"test/recall_{c}", value, 0) for c, value in enumerate(test.class_accuracy)]
    points += [(f"seconds/{step.replace(' ', '_')}", value, 0) for step, value in arm.seconds.items()]
    points += [("seconds/all", sum(arm.seconds.values()), 0)]
    return points_of(arm.rounds, arm.fit) + _finite(points)


def _title(config: ExperimentConfig) -> str:
    size = f"labels {config.labels}" if config.labels else f"ratio {config.ratio or 0.1:g}"
    return f"{config.dataset} {config.protocol} {size} seed {config.seed}"
