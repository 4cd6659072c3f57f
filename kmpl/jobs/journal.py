"""The journal of a job: a file of events, one JSON object a line; its processes append, its terminal reads."""

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmpl.store.kept_results import WITHOUT_LABELS
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch

PAUSE_SECONDS = 0.2  # between two reads of the file, and between two batch events of one step


@dataclass(frozen=True, slots=True)
class Topic:
    """Events by way of Dask's scheduler, where a worker has no file that the terminal reads."""

    name: str

    def send(self, event: dict[str, Any]) -> None:
        """Send one event; outside a worker it is dropped."""
        from distributed import get_worker

        with contextlib.suppress(ValueError):
            get_worker().log_event(self.name, event)


class Journal:
    """Writes an experiment's events. The experiment goes on if they cannot be written.

    Args:
        path: file of the events, or the way to it; None: they are dropped.
        fields: fields of every event.
    """

    def __init__(self, path: Path | Topic | None, **fields: str) -> None:
        self.path = path
        self.fields = fields
        self.last_batch = 0.0

    def write(self, **event: Any) -> None:
        """Append one event. Its line is written by one call, so that the lines of several processes do not mix."""
        if isinstance(self.path, Topic):
            self.path.send(self.fields | event)
        elif self.path is not None:
            with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as file:
                file.write(json.dumps(self.fields | {"at": time.monotonic()} | event).encode() + b"\n")

    def write_trial(self, line: str, share: float = 0.0) -> None:
        """Append the event of a finished trial, with the finished share of all trials of its labelled ratio."""
        self.write(kind="trial", said=line, share=share)

    def _batch(self, step: str, done: float, epochs: int) -> None:
        if time.monotonic() - self.last_batch > PAUSE_SECONDS:
            self.last_batch = time.monotonic()
            self.write(kind="batch", step=step, done=done / epochs, epochs=epochs)

    def watch(self) -> Watch:
        """Return a watch that writes the events of training to this journal."""
        return Watch(
            epoch=lambda step, epoch, n: self.write(
                kind="epoch", step=step, done=epoch.number / n, epochs=n, said=epoch_line(epoch, n, step)
            ),
            batch=self._batch,
            found=lambda step: self.write(kind="found", step=step, done=1.0),
        )


def epoch_line(epoch: Epoch, epochs: int, step: str) -> str:
    """Return one line about an epoch. Without labels, a network learns to name the clusters of its images."""
    learnt = "clusters named rightly" if step.startswith(WITHOUT_LABELS) else "training accuracy"
    accuracy = epoch.validation_accuracy
    validation = "" if math.isnan(accuracy) else f", validation {accuracy:.2%}"  # NaN: there is no validation image
    return f"epoch {epoch.number}/{epochs}, loss {epoch.loss:.3f}, {learnt} {epoch.accuracy:.2%}{validation}"
