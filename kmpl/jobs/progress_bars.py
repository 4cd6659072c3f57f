"""How far one experiment is: live bars on a terminal, a line per epoch elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kmpl.jobs.journal import said
from kmpl.jobs.time_left import Pace
from kmpl.jobs.whole_job import Trainings, WholeJob
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch

_WIDE = 130
"""Columns of a terminal from which on a line about an epoch fits beside its bar."""


class _Left(ProgressColumn):
    """Time left if all epochs take as long as the last one; rich's own column looks back over half a minute."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        pace, left = task.fields["pace"].now, task.remaining or 0.0
        words = "0:00:00" if not left else "-:--:--" if pace is None else str(timedelta(seconds=round(left * pace)))
        return Text(words, style="progress.remaining")


@contextmanager
def shown(console: Console, trainings: Trainings = (), clock: Callable[[], float] = time.monotonic) -> Iterator[Watch]:
    """Give what shows training: live bars on a terminal, a line per epoch elsewhere.

    Args:
        console: where it is shown.
        trainings: of the whole job, which then is shown, too.
        clock: gives the time in seconds.
    """
    whole = WholeJob(trainings, clock)
    if not console.is_terminal:
        yield _in_lines(console, whole)
        return
    wide = console.width >= _WIDE
    columns: list[ProgressColumn] = [
        TextColumn("{task.description:18}"),
        BarColumn(20 if wide else 10),
        TextColumn("{task.fields[said]}"),
    ]
    columns += [TimeElapsedColumn()] if wide else []
    with Progress(*columns, TextColumn("left"), _Left(), console=console) as bars:
        yield _in_bars(bars, whole, clock, said if wide else _in_short)


def _in_short(epoch: Epoch, epochs: int) -> str:
    """Return what of an epoch fits a narrow terminal."""
    held, trained = epoch.validation_accuracy, f"training {epoch.accuracy:.2%}"
    return f"epoch {epoch.number}/{epochs}, " + (trained if held != held else f"validation {held:.2%}")


def _in_lines(console: Console, whole: WholeJob) -> Watch:
    """Return what prints a line per epoch, with how much of the whole job is done."""

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    def epoch(step: str, epoch: Epoch, epochs: int) -> None:
        known = whole.take(step, float(epoch.number), epochs) and str(whole)
        say(f"{step}: {said(epoch, epochs)}" + (f"; {known}" if known else ""))

    def batch(step: str, done: float, epochs: int) -> None:
        whole.take(step, done, epochs)

    def found(step: str) -> None:
        whole.found(step)
        say(f"{step}: found in the store")

    return Watch(epoch, batch, found)


def _in_bars(bars: Progress, whole: WholeJob, clock: Callable[[], float], text: Callable[[Epoch, int], str]) -> Watch:
    """Return what moves a bar for each step, and one for the whole job."""
    tasks: dict[str, TaskID] = {}
    in_all = bars.add_task("in all", total=whole.total, said="", pace=whole.pace) if whole.trainings else None

    def move() -> None:
        if in_all is not None:
            bars.update(in_all, completed=whole.images, said=f"{whole.images / whole.total:.0%}")

    def batch(step: str, done: float, epochs: int) -> None:
        if step not in tasks:
            tasks[step] = bars.add_task(step, total=epochs, said=f"epoch 1/{epochs}", pace=Pace())
        bars.tasks[tasks[step]].fields["pace"].take(clock(), done, epoch=1.0)
        bars.update(tasks[step], completed=done)
        whole.take(step, done, epochs)
        move()

    def epoch(step: str, epoch: Epoch, epochs: int) -> None:
        bars.tasks[tasks[step]].fields["pace"].take(clock(), float(epoch.number), epoch=1.0)
        bars.update(tasks[step], said=text(epoch, epochs))
        if epoch.number == epochs:  # the next arm may have a step of the same name
            del tasks[step]
        whole.take(step, float(epoch.number), epochs)
        move()

    def found(step: str) -> None:
        bars.update(bars.add_task(step, total=1, said="found in the store", pace=Pace()), completed=1)
        whole.found(step)
        move()

    return Watch(epoch, batch, found)
