"""How far one experiment is: live bars on a terminal, a line per epoch elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kmpl.progress import said
from kmpl.results import Epoch
from kmpl.steps import Watch


@contextmanager
def shown(console: Console) -> Iterator[Watch]:
    """Give what shows training: live bars on a terminal, a line per epoch elsewhere."""
    if not console.is_terminal:
        yield Watch(
            lambda step, epoch, n: console.print(f"{step}: {said(epoch, n)}"),
            found=lambda step: console.print(f"{step}: found in the store"),
        )
        return
    columns = [TextColumn("{task.description:18}"), BarColumn(20), TextColumn("{task.fields[said]}")]
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def batch(step: str, done: float, epochs: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=epochs, said=f"epoch 1/{epochs}")
            bars.update(tasks[step], completed=done)

        def epoch(step: str, epoch: Epoch, epochs: int) -> None:
            bars.update(tasks[step], said=said(epoch, epochs))
            if epoch.number == epochs:  # the next arm may have a step of the same name
                del tasks[step]

        def found(step: str) -> None:
            bars.update(bars.add_task(step, total=1, said="found in the store"), completed=1)

        yield Watch(epoch, batch, found)
