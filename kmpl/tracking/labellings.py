"""The labelling of a folder in MLflow: one run with its settings, its numbers, the labels, the gallery and the model.

Its model is registered nowhere: the champion of the sweeps is theirs alone.
"""

import contextlib
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from kmpl.labelled import Labelled, summary
from kmpl.labelling import Job, check_line, summary_line, target_name, warnings_of
from kmpl.locks import is_present, present
from kmpl.results import Labelling, Pool
from kmpl.tracking.client import closing, environment, link, search
from kmpl.tracking.models import log_model
from kmpl.tracking.runs import log_params, points_of, start


class LabellingRun:
    """An open run."""

    def __init__(self, client: MlflowClient, job: Job, command: str, lock: Path) -> None:
        self.client, folder = client, str(job.found.root.resolve())
        dead = _close_dead(client)
        tags = {"kind": "labelling", "folder": folder, "command": command} | environment()
        tags |= {"host": platform.node(), "lock": str(lock)}
        self.id = start(client, f"label {target_name(job.found.root)}", tags)
        link(client, [run for run in dead if run.data.tags.get("folder") == folder], self.id)
        log_params(client, self.id, job.options.model_dump(mode="json"))

    def finished(self, pool: Pool, made: Labelling, done: Labelled, files: dict[str, str]) -> None:
        """Log numbers, texts to keep beside them by file name, and the model."""
        now, points = int(time.time() * 1000), points_of(made.rounds)
        numbers = {
            "labels/images": len(done.found.files),
            "labels/given": int(done.given.sum()),
            "labels/assigned": int(done.assigned.sum()),
            "labels/coverage": done.coverage,
            "labels/threshold": done.chosen.threshold,
            "labels/expected_accuracy": done.chosen.expected,
            "labels/expected_accuracy_of_all": done.chosen.whole,
            "labels/hidden_found_again": float(done.checked.mean()) if len(done.checked) else float("nan"),
        }
        numbers |= {f"labels/assigned_{c}": line.assigned for c, line in enumerate(summary(done))}
        points += [Metric(name, float(value), now, 0) for name, value in numbers.items() if np.isfinite(value)]
        for i in range(0, len(points), 900):
            self.client.log_batch(self.id, metrics=points[i : i + 900])
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
            self.client.log_artifacts(self.id, folder)
        self.client.set_tag(self.id, "stop_reason", made.stop_reason)
        said = [check_line(done), *warnings_of(done), summary_line(done)]
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, "\n\n".join(f"{line}." for line in said))
        log_model(self.client, self.id, made.fit.network, pool, "the labelling")


@contextlib.contextmanager
def labelling_run(client: MlflowClient, job: Job, locks: Path, command: str = "") -> Iterator[LabellingRun]:
    """Open a run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error.

    Args:
        client: of the store.
        job: what is labelled.
        locks: folder of the locks by which a run is known to be alive; those of dead processes are closed as KILLED.
        command: what was typed.
    """
    lock = locks.resolve() / f"labelling-{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
    with present(lock):
        run = LabellingRun(client, job, command, lock)
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
