"""The progress of one experiment: live bars on a terminal, a line per epoch elsewhere."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kmpl.jobs.journal import epoch_line
from kmpl.jobs.time_left import Pace
from kmpl.jobs.whole_job import Trainings, WholeJob
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch

_WIDE = 130
"""Columns of a terminal that fit a bar and the whole line about an epoch."""


class _Left(ProgressColumn):
    """Time left if all epochs take as long as the last one; rich's own column averages over half a minute."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds_per_epoch = task.fields["pace"].now
        epochs_left = task.remaining or 0.0
        if not epochs_left:
            text = "0:00:00"
        elif seconds_per_epoch is None:
            text = "-:--:--"
        else:
            text = str(timedelta(seconds=round(epochs_left * seconds_per_epoch)))
        return Text(text, style="progress.remaining")


@contextmanager
def show_training(
    console: Console, trainings: Trainings = (), clock: Callable[[], float] = time.monotonic
) -> Iterator[Watch]:
    """Yield a watch that shows training: live bars on a terminal, a line per epoch elsewhere.

    Args:
        console: to print on.
        trainings: of the whole job, whose progress is then shown, too.
        clock: returns the time in seconds.
    """
    job = WholeJob(trainings, clock)
    if not console.is_terminal:
        yield _lines(console, job)
        return
    wide = console.width >= _WIDE
    columns: list[ProgressColumn] = [
        TextColumn("{task.description:18}"),
        BarColumn(20 if wide else 10),
        TextColumn("{task.fields[message]}"),
    ]
    columns += [TimeElapsedColumn()] if wide else []
    with Progress(*columns, TextColumn("left"), _Left(), console=console) as bars:
        yield _bars(bars, job, clock, epoch_line if wide else _short_line)


def _short_line(epoch: Epoch, epochs: int, step: str) -> str:  # noqa: ARG001  (as ``epoch_line``)
    """Return one line about an epoch for a narrow terminal."""
    training = f"training {epoch.accuracy:.2%}"
    no_validation = math.isnan(epoch.validation_accuracy)
    accuracy = training if no_validation else f"validation {epoch.validation_accuracy:.2%}"
    return f"epoch {epoch.number}/{epochs}, {accuracy}"


def _lines(console: Console, job: WholeJob) -> Watch:
    """Return a watch that prints a line per epoch, with the progress of the whole job."""

    def epoch(step: str, epoch: Epoch, epochs: int) -> None:
        progress = str(job) if job.add(step, float(epoch.number), epochs) else ""
        line = f"{step}: {epoch_line(epoch, epochs, step)}"
        console.print(f"{line}; {progress}" if progress else line, soft_wrap=True)

    def batch(step: str, done: float, epochs: int) -> None:
        job.add(step, done, epochs)

    def found(step: str) -> None:
        job.skip(step)
        console.print(f"{step}: found in the store", soft_wrap=True)

    return Watch(epoch, batch, found)


def _bars(bars: Progress, job: WholeJob, clock: Callable[[], float], text: Callable[[Epoch, int, str], str]) -> Watch:
    """Return a watch that moves a bar for each step, and one for the whole job."""
    tasks: dict[str, TaskID] = {}
    in_all = bars.add_task("in all", total=job.total, message="", pace=job.pace) if job.trainings else None

    def move() -> None:
        if in_all is not None:
            bars.update(in_all, completed=job.images, message=f"{job.images / job.total:.0%}")

    def batch(step: str, done: float, epochs: int) -> None:
        if step not in tasks:
            tasks[step] = bars.add_task(step, total=epochs, message=f"epoch 1/{epochs}", pace=Pace())
        bars.tasks[tasks[step]].fields["pace"].add(clock(), done=done, epoch=1.0)
        bars.update(tasks[step], completed=done)
        job.add(step, done, epochs)
        move()

    def epoch(step: str, epoch: Epoch, epochs: int) -> None:
        bars.tasks[tasks[step]].fields["pace"].add(clock(), done=float(epoch.number), epoch=1.0)
        bars.update(tasks[step], message=text(epoch, epochs, step))
        if epoch.number == epochs:  # the next arm may have a step of the same name
            del tasks[step]
        job.add(step, float(epoch.number), epochs)
        move()

    def found(step: str) -> None:
        bars.update(bars.add_task(step, total=1, message="found in the store", pace=Pace()), completed=1)
        job.skip(step)
        move()

    return Watch(epoch, batch, found)
