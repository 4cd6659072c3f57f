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
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch


class _Left(ProgressColumn):
    """Time left if all epochs take as long as the last one; rich's own column looks back over half a minute."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        pace, left = task.fields["pace"].now, task.remaining or 0.0
        words = "0:00:00" if not left else "-:--:--" if pace is None else str(timedelta(seconds=round(left * pace)))
        return Text(words, style="progress.remaining")


@contextmanager
def shown(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[Watch]:
    """Give what shows training: live bars on a terminal, a line per epoch elsewhere."""
    if not console.is_terminal:
        yield Watch(
            lambda step, epoch, n: console.print(f"{step}: {said(epoch, n)}"),
            found=lambda step: console.print(f"{step}: found in the store"),
        )
        return
    columns = [TextColumn("{task.description:18}"), BarColumn(20), TextColumn("{task.fields[said]}")]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), _Left(), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def batch(step: str, done: float, epochs: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=epochs, said=f"epoch 1/{epochs}", pace=Pace())
            bars.tasks[tasks[step]].fields["pace"].take(clock(), done, epoch=1.0)
            bars.update(tasks[step], completed=done)

        def epoch(step: str, epoch: Epoch, epochs: int) -> None:
            bars.tasks[tasks[step]].fields["pace"].take(clock(), float(epoch.number), epoch=1.0)
            bars.update(tasks[step], said=said(epoch, epochs))
            if epoch.number == epochs:  # the next arm may have a step of the same name
                del tasks[step]

        def found(step: str) -> None:
            bars.update(bars.add_task(step, total=1, said="found in the store", pace=Pace()), completed=1)

        yield Watch(epoch, batch, found)
