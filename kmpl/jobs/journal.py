"""Events of a job as a file of lines, written by its processes and read by its terminal."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from kmpl.training.history import Epoch
from kmpl.training.watch import Watch

PAUSE_SECONDS = 0.2  # seconds between two looks at the file, and between two events of one step


class Journal:
    """Where an experiment tells of its progress. Nobody waits for it, and nothing fails if it cannot be written."""

    def __init__(self, path: Path | None, **always: str) -> None:
        self.path, self.always, self.last = path, always, 0.0

    def write(self, **event: Any) -> None:
        """Append one event; a line is written at once, so that lines of several processes do not mix."""
        if self.path is not None:
            with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as file:
                file.write(json.dumps(self.always | {"at": time.monotonic()} | event).encode() + b"\n")

    def say(self, line: str, share: float = 0.0) -> None:
        """Tell of a trial that is done, and which share of all trials of its labelled ratio is."""
        self.write(kind="trial", said=line, share=share)

    def _batch(self, step: str, done: float, epochs: int) -> None:
        if time.monotonic() - self.last > PAUSE_SECONDS:
            self.last = time.monotonic()
            self.write(kind="batch", step=step, done=done / epochs, epochs=epochs)

    def watch(self) -> Watch:
        """Return what training tells of itself, written to this journal."""
        return Watch(
            epoch=lambda step, epoch, n: self.write(
                kind="epoch", step=step, done=epoch.number / n, epochs=n, said=said(epoch, n)
            ),
            batch=self._batch,
            found=lambda step: self.write(kind="found", step=step, done=1.0),
        )


def said(epoch: Epoch, epochs: int) -> str:
    """Return one line about an epoch."""
    held = epoch.validation_accuracy
    validation = "" if held != held else f", validation {held:.2%}"  # NaN: there is no validation image
    return f"epoch {epoch.number}/{epochs}, loss {epoch.loss:.3f}, training accuracy {epoch.accuracy:.2%}{validation}"
