"""The labelling of a folder in MLflow: one run with its settings, its numbers, the labels, the gallery and the model.

Its model is registered nowhere: the champion of the sweeps is theirs alone.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from kmpl.labelled import Labelled, summary
from kmpl.labelling import Job, summary_line, target_name
from kmpl.results import Labelling, Pool
from kmpl.tracking.client import closing, environment
from kmpl.tracking.models import log_model
from kmpl.tracking.runs import log_params, points_of, start


class LabellingRun:
    """An open run."""

    def __init__(self, client: MlflowClient, job: Job, command: str) -> None:
        self.client = client
        tags = {"kind": "labelling", "folder": str(job.found.root.resolve()), "command": command} | environment()
        self.id = start(client, f"label {target_name(job.found.root)}", tags)
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
        self.client.set_tag(self.id, MLFLOW_RUN_NOTE, f"{summary_line(done)}. {done.chosen.said}.")
        log_model(self.client, self.id, made.fit.network, pool, "the labelling")


@contextlib.contextmanager
def labelling_run(client: MlflowClient, job: Job, command: str = "") -> Iterator[LabellingRun]:
    """Open a run; close it as FINISHED, as KILLED on Ctrl-C, as FAILED on any other error."""
    run = LabellingRun(client, job, command)
    with closing(client, run.id):
        yield run
