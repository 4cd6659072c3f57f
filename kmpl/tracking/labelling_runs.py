"""The labelling of a folder in MLflow: one run with its settings, its numbers, the labels, the gallery and the model.

Its model is registered nowhere: the champion of the sweeps is theirs alone.
"""

import contextlib
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from kmpl.datasets.types import Pool
from kmpl.method.results import Labelling
from kmpl.runtime.locks import is_present, present
from kmpl.tracking.client import closing, link_successor, search
from kmpl.tracking.environment import environment
from kmpl.tracking.experiment_runs import log_params, points_of, start
from kmpl.tracking.log_model import log_model


class LabellingRun:
    """An open run."""

    def __init__(
        self, client: MlflowClient, *, name: str, folder: Path, settings: Mapping[str, Any], command: str, lock: Path
    ) -> None:
        self.client = client
        dead = _close_dead(client)
        root = str(folder.resolve())
        tags = {"kind": "labelling", "folder": root, "command": command} | environment()
        tags |= {"host": platform.node(), "lock": str(lock)}
        self.id = start(client, name, tags)
        link_successor(client, [run for run in dead if run.data.tags.get("folder") == root], self.id)
        log_params(client, self.id, settings)

    def finished(
        self, pool: Pool, made: Labelling, *, numbers: Mapping[str, float], note: str, files: Mapping[str, str]
    ) -> None:
        """Log what the labelling gave.

        Args:
            pool: what was labelled.
            made: the rounds and the last network.
            numbers: metrics by name, in addition to those of the rounds; those that are not finite are left out.
            note: markdown that MLflow's page shows at the top of the run.
            files: texts to keep beside them, by file name.
        """
        now, points = int(time.time() * 1000), points_of(made.rounds)
        points += [Metric(name, float(value), now, 0) for name, value in numbers.items() if np.isfinite(value)]
        for i in range(0, len(points), 900):
            self.client.log_batch(self.id, metrics=points[i : i + 900])
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
            self.client.log_artifacts(self.id, folder)
        self.client.set_tag(self.id, "stop_reason", made.stop_reason)
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, note)
        log_model(self.client, self.id, made.fit.network, pool, "the labelling")


@contextlib.contextmanager
def labelling_run(
    client: MlflowClient, *, name: str, folder: Path, settings: Mapping[str, Any], locks: Path, command: str = ""
) -> Iterator[LabellingRun]:
    """Open a run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error.

    Args:
        client: of the store.
        name: of the run.
        folder: that is labelled; the earlier runs of the same folder that died are linked.
        settings: of the labelling, as a tree.
        locks: folder of the locks by which a run is known to be alive; those of dead processes are closed as KILLED.
        command: what was typed.
    """
    lock = locks.resolve() / f"labelling-{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
    with present(lock):
        run = LabellingRun(client, name=name, folder=folder, settings=settings, command=command, lock=lock)
        with closing(client, run.id):
            yield run


def _close_dead(client: MlflowClient) -> list[Run]:
    """Close as KILLED what dead processes of this machine left RUNNING, and return those runs, newest first.

    Others may label beside this process: a run is dead only if nobody holds its lock.
    """
    dead = []
    for run in search(client, kind="labelling"):
        host, lock = (run.data.tags.get(name, "") for name in ("host", "lock"))
        here = run.info.status == "RUNNING" and lock and host == platform.node()
        if here and not is_present(Path(lock)):
            client.set_terminated(run.info.run_id, "KILLED")
            dead.append(run)
    return dead
