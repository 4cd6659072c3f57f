"""The progress of one experiment: live bars on a terminal, a line per epoch elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kmpl.jobs.journal import epoch_line
from kmpl.jobs.time_left import Pace
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch


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
def show_training(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[Watch]:
    """Yield a watch that shows training: live bars on a terminal, a line per epoch elsewhere."""
    if not console.is_terminal:
        yield Watch(
            lambda step, epoch, n: console.print(f"{step}: {epoch_line(epoch, n)}"),
            found=lambda step: console.print(f"{step}: found in the store"),
        )
        return
    columns = [TextColumn("{task.description:18}"), BarColumn(20), TextColumn("{task.fields[message]}")]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), _Left(), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def batch(step: str, done: float, epochs: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=epochs, message=f"epoch 1/{epochs}", pace=Pace())
            bars.tasks[tasks[step]].fields["pace"].add(clock(), done=done, epoch=1.0)
            bars.update(tasks[step], completed=done)

        def epoch(step: str, epoch: Epoch, epochs: int) -> None:
            bars.tasks[tasks[step]].fields["pace"].add(clock(), done=float(epoch.number), epoch=1.0)
            bars.update(tasks[step], message=epoch_line(epoch, epochs))
            if epoch.number == epochs:  # the next arm may have a step of the same name
                del tasks[step]

        def found(step: str) -> None:
            bars.update(bars.add_task(step, total=1, message="found in the store", pace=Pace()), completed=1)

        yield Watch(epoch, batch, found)
