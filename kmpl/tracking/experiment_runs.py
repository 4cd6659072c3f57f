"""One experiment in MLflow: a parent run, and a child run per arm."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from kmpl.method.results import ArmReport, Report
from kmpl.models.frozen_network import sees_images
from kmpl.reports import experiment_plots
from kmpl.tracking.client import closing, experiment_id, link_successor, search
from kmpl.tracking.environment import environment, installed_packages
from kmpl.tracking.log_model import log_model
from kmpl.tracking.run_metrics import metrics_of

_PARAMS_PER_CALL = 90  # MLflow accepts at most 100
_METRICS_PER_CALL = 900  # MLflow accepts at most 1,000
_MAX_DATASET_NAME_LENGTH = 500  # characters; PostgreSQL refuses more
_MAX_RUN_NAME_LENGTH = 250  # characters; PostgreSQL refuses more


def start(client: MlflowClient, name: str, tags: Mapping[str, str], seconds_ago: float = 0.0) -> str:
    """Open a run and return its id."""
    begin_ms = int((time.time() - seconds_ago) * 1000)
    source = {MLFLOW_SOURCE_NAME: "kmpl", MLFLOW_SOURCE_TYPE: "LOCAL"}
    run = client.create_run(experiment_id(client), begin_ms, source | dict(tags), _shorten(name, _MAX_RUN_NAME_LENGTH))
    return str(run.info.run_id)


def _shorten(name: str, length: int) -> str:
    """Return a name without its beginning if it is too long: paths differ at their ends."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def log_params(client: MlflowClient, run_id: str, settings: Mapping[str, Any]) -> None:
    """Log a tree of settings with dotted names."""
    params = [Param(name, str(value)) for name, value in flatten(settings).items()]
    for i in range(0, len(params), _PARAMS_PER_CALL):
        client.log_batch(run_id, params=params[i : i + _PARAMS_PER_CALL])


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Log any number of metrics."""
    for i in range(0, len(metrics), _METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[i : i + _METRICS_PER_CALL])


class ExperimentRun:
    """The open parent run of an experiment, and the runs of its arms below it."""

    def __init__(self, client: MlflowClient, config: ExperimentConfig, command: str, tags: Mapping[str, str]) -> None:
        self.client = client
        self.config = config
        self.tags = dict(tags)
        self.pool: Pool | None = None
        earlier = self._earlier(kind="experiment")
        self.title = _title(config, self.tags)
        about = {"kind": "experiment", "command": command} | changed_settings(config)
        self.id = start(client, self.title, about | environment() | self.tags)
        link_successor(client, earlier, self.id)
        log_params(client, self.id, config.model_dump(mode="json"))

    def log_pool(self, pool: Pool) -> None:
        """Log the pool: the data set with its digest, and the indices of the split."""
        self.pool = pool
        self._log_data(self.id)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "split.json"
            is_labelled = pool.labelled
            split = {
                "digest": pool.digest,
                "labelled": pool.sources[is_labelled].tolist(),
                "validation": pool.validation_sources.tolist(),
                "unlabelled": pool.sources[~is_labelled].tolist(),
            }
            path.write_text(json.dumps(split), encoding="utf-8")
            versions = Path(folder) / "environment.txt"
            versions.write_text("\n".join(installed_packages()) + "\n", encoding="utf-8")
            self.client.log_artifacts(self.id, folder)

    def _log_data(self, run_id: str) -> None:
        assert self.pool is not None, "log_pool comes first"
        name = f"{self.config.dataset}, {self.config.protocol} protocol, {self.pool.budget} labels"
        profile = json.dumps(
            {
                "images": len(self.pool.labels),
                "labelled": int(self.pool.labelled.sum()),
                "validation": len(self.pool.validation_labels),
            }
        )
        data = Dataset(
            _shorten(name, _MAX_DATASET_NAME_LENGTH),
            self.pool.digest[:36],
            "code",
            json.dumps({"tags": {"pool": "kmpl"}}),
            profile=profile,
        )
        self.client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])

    def _earlier(self, **tags: str) -> list[Run]:
        """Return the runs that earlier, killed runs of the sweep logged about this experiment, newest first."""
        if "sweep" not in self.tags:
            return []
        return search(self.client, sweep=self.tags["sweep"], key=self.tags["key"], **tags)

    def log_arm(self, arm: ArmReport) -> None:
        """Log one arm as a child run. A finished run of the same arm is moved below this parent instead."""
        earlier = self._earlier(kind="arm", arm=arm.arm)
        finished = next((run for run in earlier if run.info.status == "FINISHED"), None)
        metrics = metrics_of(arm)
        if finished:
            self.client.set_tag(finished.info.run_id, MLFLOW_PARENT_RUN_ID, self.id)
        else:
            self._log_new_arm(arm, metrics, earlier)
        for view in ("accuracy", *(f"accuracy_{v}" for v in arm.evaluation.views)):
            value = next(metric.value for metric in metrics if metric.key == f"test/{view}")
            self.client.log_metric(self.id, f"test/{view}/{arm.arm}", value)

    def _log_new_arm(self, arm: ArmReport, metrics: list[Metric], earlier: list[Run]) -> None:
        """Log settings, metrics of all epochs and rounds, test metrics and model."""
        assert self.pool is not None, "log_pool comes first"
        arm_tags = {"kind": "arm", "arm": arm.arm, "stop_reason": arm.stop_reason, MLFLOW_PARENT_RUN_ID: self.id}
        arm_tags |= changed_settings(self.config)
        name = f"{self.title}, {arm.arm}"
        run_id = start(self.client, name, self.tags | arm_tags, seconds_ago=sum(arm.seconds.values()))
        link_successor(self.client, earlier, run_id)
        with closing(self.client, run_id):
            log_params(self.client, run_id, for_arm(self.config, arm.arm).model_dump(mode="json"))
            self._log_data(run_id)
            log_metrics(self.client, run_id, metrics)
            if sees_images(arm.fit.network):
                log_model(self.client, run_id, network=arm.fit.network, pool=self.pool, title=arm.arm)

    def log_report(self, report: Report, summary: Mapping[str, Any]) -> None:
        """Log the figures and numbers of the whole experiment."""
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


_NOT_OF_THE_METHOD = ("ratio", "labels", "seed", "arms", "threads", "device")
"""Settings that say what is run, or where, and not how."""


def changed_settings(config: ExperimentConfig) -> dict[str, str]:
    """Return tags of the settings that differ from their defaults: what tells sweeps apart."""
    default = flatten(ExperimentConfig().model_dump(mode="json"))
    settings = flatten(config.model_dump(mode="json", exclude=set(_NOT_OF_THE_METHOD)))
    return {f"{CHANGED}{name}": str(value) for name, value in settings.items() if value != default[name]}


CHANGED = "set."
"""Begins the name of a tag that holds a changed setting."""


def _title(config: ExperimentConfig, tags: Mapping[str, str]) -> str:
    if "sweep" in tags:
        return f"{tags['sweep']}, {tags['experiment']}"
    size = f"labels {config.labels}" if config.labels else f"ratio {config.ratio or 0.1:g}"
    return f"{config.dataset} {config.protocol} {size} seed {config.seed}"
