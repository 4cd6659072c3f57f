"""Reports into MLflow: a parent run per experiment, a child run per arm. The only file that imports mlflow."""

import contextlib
import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

# MLflow reads these when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

import mlflow
import mlflow.pytorch
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from kmpl import __version__, plots
from kmpl.config import ExperimentConfig, flatten
from kmpl.errors import UserError
from kmpl.presets import for_arm
from kmpl.results import ArmReport, Pool, Report
from kmpl.serving import RawImageClassifier
from kmpl.store import describe, save_network

EXPERIMENT = "kmpl"
_BATCH = 90  # MLflow takes at most 100 params a call


def tracking_uri(folder: Path) -> str:
    """Return where runs are kept: ``MLFLOW_TRACKING_URI``, or a database in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve()}/mlflow.db"


def open_store(folder: Path) -> MlflowClient:
    """Return a client of the store in ``folder``, making store and experiment where there is none.

    Raises:
        UserError: the folder cannot be written, or the tracking server does not answer.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    _check_writable(folder)
    uri = tracking_uri(folder)
    mlflow.set_tracking_uri(uri)
    try:
        client = MlflowClient(uri)
        if client.get_experiment_by_name(EXPERIMENT) is None:
            local = uri.startswith("sqlite:")
            place = f"{folder.resolve().as_uri()}/artifacts" if local else None
            client.create_experiment(EXPERIMENT, place, {"mlflow.experimentKind": "custom_model_development"})
    except MlflowException as error:
        raise UserError(f"cannot open the runs at {uri}: {str(error).splitlines()[0]}") from error
    return client


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{describe(error, folder)}; choose another folder with --mlruns") from error


class ExperimentRun:
    """An open parent run and what has been logged below it."""

    def __init__(self, client: MlflowClient, config: ExperimentConfig, command: str) -> None:
        found = client.get_experiment_by_name(EXPERIMENT)
        assert found is not None, "open_store makes the experiment"
        self.client, self.config, self.experiment = client, config, found.experiment_id
        self.pool: Pool | None = None
        self.id = self._start(_title(config), {"command": command} | environment())
        self._params(self.id, config)

    def _start(self, name: str, tags: Mapping[str, str], seconds_ago: float = 0.0) -> str:
        begin = int((time.time() - seconds_ago) * 1000)
        source = {MLFLOW_SOURCE_NAME: "kmpl", MLFLOW_SOURCE_TYPE: "LOCAL"}
        return self.client.create_run(self.experiment, begin, source | dict(tags), name).info.run_id

    def _params(self, run: str, config: ExperimentConfig) -> None:
        params = [Param(name, str(value)) for name, value in flatten(config.model_dump(mode="json")).items()]
        for i in range(0, len(params), _BATCH):
            self.client.log_batch(run, params=params[i : i + _BATCH])

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
        data = Dataset(name, self.pool.digest[:36], "code", json.dumps({"tags": {"pool": "kmpl"}}), profile=profile)
        self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])

    def finished(self, arm: ArmReport) -> None:
        """Log one arm as a child run: settings, metrics of all epochs and rounds, test, model."""
        tags = {MLFLOW_PARENT_RUN_ID: self.id, "arm": arm.arm, "stop_reason": arm.stop_reason}
        run = self._start(arm.arm, tags, seconds_ago=sum(arm.seconds.values()))
        with self.closing(run):
            self._params(run, for_arm(self.config, arm.arm))
            self._log_data(run)
            points = metrics_of(arm)
            for i in range(0, len(points), 900):
                self.client.log_batch(run, metrics=points[i : i + 900])
            for view in ("accuracy", *(f"accuracy_{v}" for v in arm.evaluation.views)):
                value = next(p.value for p in points if p.key == f"test/{view}")
                self.client.log_metric(self.id, f"test/{view}/{arm.arm}", value)
            self._log_model(run, arm)

    def _log_model(self, run: str, arm: ArmReport) -> None:
        assert self.pool is not None, "begun comes first"
        channels, height, width = self.pool.raw_shape
        model = RawImageClassifier(arm.fit.network, size=self.pool.images.shape[-1])
        shape = (height, width) if channels == 1 else (height, width, channels)
        signature = ModelSignature(
            Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
            Schema([TensorSpec(np.dtype("float32"), (-1, len(self.pool.classes)))]),
        )
        pins = [f"{name}=={metadata.version(name)}" for name in ("torch", "numpy")]
        with mlflow.start_run(run_id=run), tempfile.TemporaryDirectory() as folder, _writing(f"the model of {arm.arm}"):
            # The state comes first: it fails cleanly on a full disk, where PyTorch's writer of pt2 aborts the process.
            path = Path(folder) / "network.safetensors"
            save_network(arm.fit.network, path)
            _check_room(Path(folder), 4 * path.stat().st_size)
            self.client.log_artifact(run, str(path))
            mlflow.pytorch.log_model(
                model,
                name="model",
                signature=signature,
                input_example=np.zeros((2, *shape), dtype=np.uint8),
                serialization_format="pt2",
                pip_requirements=pins,
                metadata={"classes": list(self.pool.classes)},
            )

    def closed(self, report: Report, summary: Mapping[str, Any]) -> None:
        """Log what only the whole experiment shows: figures and the report's numbers."""
        with tempfile.TemporaryDirectory() as folder:
            for name, figure in plots.all_figures(report).items():
                figure.savefig(Path(folder) / f"{name}.png")
            self.client.log_artifacts(self.id, folder, "figures")
        self.client.log_dict(self.id, dict(summary), "report.json")
        lines = [f"- **{name}**: {arm.evaluation.accuracy:.2%} of the test right" for name, arm in report.arms.items()]
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, "\n".join(lines))

    @contextlib.contextmanager
    def closing(self, run: str) -> Iterator[None]:
        """Close a run with the status that fits how the block ended, whatever happens."""
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except BaseException as error:
            with contextlib.suppress(MlflowException):  # the store itself may be what failed
                self.client.set_tag(run, "error", str(error)[:4000])
            raise
        finally:
            with contextlib.suppress(MlflowException):
                self.client.set_terminated(run, status)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"cannot write below {folder}: {free:,} bytes are free, {needed:,} are needed")


@contextlib.contextmanager
def _writing(what: str) -> Iterator[None]:
    """Turn a refused write into one line; PyTorch's writer reports a full disk as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {what}: {reason}; is the disk full?") from error


@contextlib.contextmanager
def experiment_run(client: MlflowClient, config: ExperimentConfig, command: str = "") -> Iterator[ExperimentRun]:
    """Open a parent run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error."""
    run = ExperimentRun(client, config, command)
    with run.closing(run.id):
        yield run


def metrics_of(arm: ArmReport) -> list[Metric]:
    """Return all numbers of an arm, named alike in all arms; epochs count on through the rounds."""
    now, fits = int(time.time() * 1000), [turn.fit for turn in arm.rounds] or [arm.fit]
    points: list[tuple[str, float, int]] = []
    for step, epoch in enumerate((epoch for fit in fits for epoch in fit.history), start=1):
        points += [("train/loss", epoch.loss, step), ("train/accuracy", epoch.accuracy, step)]
        points += [("validation/loss", epoch.validation_loss, step)]
        points += [("validation/accuracy", epoch.validation_accuracy, step)]
        points += [("train/learning_rate", epoch.learning_rate, step)]
    for turn in arm.rounds:
        shown = turn.diagnostics
        points += [("pseudo_labels/accuracy", shown.accuracy, turn.number)]
        points += [("pseudo_labels/coverage", shown.coverage, turn.number)]
        points += [("pseudo_labels/purity", shown.purity, turn.number)]
        points += [(f"pseudo_labels/count_{c}", n, turn.number) for c, n in enumerate(shown.counts)]
        points += [(f"pseudo_labels/accuracy_{c}", a, turn.number) for c, a in enumerate(shown.class_accuracy)]
    test = arm.evaluation
    points += [("test/accuracy", test.accuracy, 0), ("test/log_loss", test.log_loss, 0)]
    points += [("test/calibration_error", test.calibration_error, 0)]
    points += [(f"test/accuracy_{view}", value, 0) for view, value in test.views.items()]
    points += [(f"test/recall_{c}", value, 0) for c, value in enumerate(test.class_accuracy)]
    points += [(f"seconds/{step.replace(' ', '_')}", value, 0) for step, value in arm.seconds.items()]
    points += [("seconds/all", sum(arm.seconds.values()), 0)]
    return [Metric(name, float(value), now, step) for name, value, step in points if np.isfinite(value)]


def installed_packages() -> list[str]:
    """Return ``name==version`` of every installed package, sorted."""
    return sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}, key=str.lower)


def environment() -> dict[str, str]:
    """Return what a number depends on besides its settings, as tags."""
    tags = {f"version.{name}": metadata.version(name) for name in ("torch", "torchvision", "scikit-learn", "numpy")}
    tags |= {"version.kmpl": __version__, "version.python": platform.python_version(), "machine": platform.platform()}
    tags["cores"] = str(os.cpu_count())
    here = Path(__file__).resolve().parent
    git = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})


def _title(config: ExperimentConfig) -> str:
    size = f"labels {config.labels}" if config.labels else f"ratio {config.ratio or 0.1:g}"
    return f"{config.dataset} {config.protocol} {size} seed {config.seed}"
