"""The labelling of a folder in MLflow: one run with its settings, its numbers, the labels, the gallery and the model.

Its model is not registered: only sweeps have champions.
"""

import contextlib
import os
import platform
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from kmpl.datasets.types import Pool
from kmpl.method.results import Labelling
from kmpl.models.frozen_network import sees_images
from kmpl.models.network import Network
from kmpl.runtime.locks import Locks
from kmpl.tracking.client import closing, kill_running, link_successor, search
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_metrics, log_params, start
from kmpl.tracking.labelled_folders import LABELLING, NEW_FILES
from kmpl.tracking.log_model import log_model
from kmpl.tracking.run_metrics import finite_metrics, training_metrics


class LabellingRun:
    """The open run of a labelling."""

    def __init__(
        self,
        client: MlflowClient,
        *,
        name: str,
        folder: Path,
        command: str,
        life: str,
        locks: Locks,
        tags: Mapping[str, str],
    ) -> None:
        self.client = client
        dead = _close_dead(client, tags["kind"], locks)
        root = str(folder.resolve())
        tags = {**tags, "folder": root, "command": command} | environment()
        tags |= {"host": platform.node(), "lock": life}
        self.id = start(client, name, tags)
        link_successor(client, [run for run in dead if run.data.tags.get("folder") == root], self.id)

    def log_way(self, settings: Mapping[str, Any], backbone: str, reason: str) -> None:
        """Log how the folder is labelled: once the given labels have chosen.

        Args:
            settings: of the labelling, as a tree.
            backbone: whose features are labelled; ``none`` where a network learns.
            reason: why it is that one; empty where there was nothing to choose.
        """
        log_params(self.client, self.id, settings)
        self.client.set_tag(self.id, "backbone", backbone)
        if reason:
            self.client.set_tag(self.id, "way", reason)

    def log_result(
        self,
        pool: Pool,
        labelling: Labelling,
        *,
        numbers: Mapping[str, float],
        curve: Iterable[tuple[int, float]],
        note: str,
        files: Mapping[str, str | bytes],
    ) -> None:
        """Log the result of the labelling.

        Args:
            pool: images that were labelled.
            labelling: the rounds and the last network.
            numbers: metrics by name, in addition to those of the rounds; values that are not finite are left out.
            curve: numbers of labels, and the accuracy that is expected with so many.
            note: markdown that MLflow's page shows at the top of the run.
            files: contents to log as files, by file name.
        """
        by_labels = finite_metrics(("labels/expected_by_labels", share, n) for n, share in curve)
        log_metrics(self.client, self.id, training_metrics(labelling.rounds) + by_labels)
        self.client.set_tag(self.id, "stop_reason", labelling.stop_reason)
        self.log_labels(pool, labelling.fit.network, numbers=numbers, note=note, files=files)

    def log_labels(
        self, pool: Pool, network: Network, *, numbers: Mapping[str, float], note: str, files: Mapping[str, str | bytes]
    ) -> None:
        """Log what was labelled, and the network that did it, unless it sees no images.

        Args:
            pool: images of the folder, as ``log_model`` takes them.
            network: the last one.
            numbers: metrics by name; values that are not finite are left out.
            note: markdown that MLflow's page shows at the top of the run.
            files: contents to log as files, by file name.
        """
        log_metrics(self.client, self.id, finite_metrics((name, value, 0) for name, value in numbers.items()))
        self._log_files(files)
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        if sees_images(network):
            log_model(self.client, self.id, network=network, pool=pool, title="the labelling")

    def log_new_files(
        self, numbers: Mapping[str, float], *, note: str, tags: Mapping[str, str], files: Mapping[str, str | bytes]
    ) -> None:
        """Log what was made of the new files of a folder.

        Args:
            numbers: metrics by name; values that are not finite are left out.
            note: markdown that MLflow's page shows at the top of the run.
            tags: further tags.
            files: contents to log as files, by file name.
        """
        log_metrics(self.client, self.id, finite_metrics((name, value, 0) for name, value in numbers.items()))
        self._log_files(files)
        for name, value in {**tags, MLFLOW_RUN_NOTE: note}.items():
            self.client.set_tag(self.id, name, value)

    def _log_files(self, files: Mapping[str, str | bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            self.client.log_artifacts(self.id, folder)


@contextlib.contextmanager
def labelling_run(
    client: MlflowClient,
    *,
    name: str,
    folder: Path,
    locks: Locks,
    command: str = "",
    model_of: str = "",
) -> Iterator[LabellingRun]:
    """Open a run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error.

    Args:
        client: of the store.
        name: of the run.
        folder: of the images; the latest run of the same folder whose process died is linked.
        locks: by which the process of a run gives a sign of life.
        command: command line that started the labelling.
        model_of: id of the labelling run whose model labels new files; empty: the whole folder is labelled.
    """
    tags = {"kind": NEW_FILES, "labelling": model_of} if model_of else {"kind": LABELLING}
    with locks.living(f"labelling-{os.getpid()}-{uuid.uuid4().hex[:8]}") as life:
        run = LabellingRun(client, name=name, folder=folder, command=command, life=life, locks=locks, tags=tags)
        with closing(client, run.id):
            yield run


def _close_dead(client: MlflowClient, kind: str, locks: Locks) -> list[Run]:
    """Close as KILLED the runs whose processes are known to be dead, and return those runs, newest first."""
    dead = [run for run in search(client, kind=kind) if _is_dead(run, locks)]
    kill_running(client, dead)
    return dead


def _is_dead(run: Run, locks: Locks) -> bool:
    """Say whether a run is RUNNING although its process gives no sign of life any more."""
    tags = run.data.tags
    running = run.info.status == "RUNNING"
    return running and locks.is_living(tags.get("lock", ""), tags.get("host", "")) is False
