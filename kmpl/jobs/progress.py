"""The progress of a sweep: a display that reads the events of all its processes from one file."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kmpl.config.sweep import SweepConfig, experiment_name
from kmpl.jobs.journal import PAUSE_SECONDS
from kmpl.jobs.sweep_state import ExperimentState, SweepState


def render(state: SweepState) -> Group:
    """Return the live display: a row per labelled ratio, a line per running experiment, and the time left."""
    seeds = state.settings.seeds
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, justify in (("ratio", "right"), ("seeds done", "right"), ("running", "left"), ("left", "right")):
        grid.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    running = []
    for ratio in state.settings.ratios:
        names = [experiment_name(ratio, seed) for seed in seeds]
        experiments = [state.experiments.get(name, ExperimentState()) for name in names]
        finished = sum(experiment.is_finished() for experiment in experiments)
        running_seeds = [seed for seed, e in zip(seeds, experiments, strict=True) if e.state == "running"]
        running += [(name, e) for name, e in zip(names, experiments, strict=True) if e.state == "running"]
        text = f"seed {', '.join(map(str, running_seeds))}" if running_seeds else ""
        waiting = len(seeds) - finished - len(running_seeds)
        grid.add_row(str(ratio), f"{finished}/{len(seeds)}", text, str(waiting))
    shown = {name for name, _ in running}
    running += [(name, e) for name, e in state.experiments.items() if e.state == "running" and name not in shown]
    lines = [_experiment_line(name, experiment) for name, experiment in running]
    minutes = (time.monotonic() - state.begin) / 60
    text = f"{state.share():.0%}, {minutes:.1f} min, left {state.time_left()}"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(1.0, state.share(), width=30), text)
    return Group(grid, *lines, bar)


def _experiment_line(name: str, experiment: ExperimentState) -> Text:
    step = f"{name}  {experiment.arm}  {experiment.step or 'preparing'} "
    return Text(f"{step} {experiment.done:4.0%}  {experiment.message}", no_wrap=True, overflow="ellipsis")


class Display:
    """Shows a journal as it grows: live on a terminal, as plain lines elsewhere, not at all on a quiet console.

    Args:
        path: file of the journal.
        settings: of the sweep.
        console: to show it on.
        say: receives each line if the display is not live; without it the console prints the line.
    """

    def __init__(
        self, path: Path, settings: SweepConfig, console: Console, say: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self.console = console
        self.state = SweepState(settings)
        self.say = say or (lambda line: console.print(line, highlight=False, soft_wrap=True))
        self.stop = threading.Event()
        self.offset = 0
        """Bytes of the file that have been read."""
        self.live = Live(console=console, get_renderable=lambda: render(self.state), refresh_per_second=4)
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Display":
        if self.console.is_terminal and not self.console.quiet:
            self.live.start()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        if self.live.is_started:
            self.live.stop()

    def _follow(self) -> None:
        while not self.stop.wait(PAUSE_SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        for event in self._events():
            line = self.state.add(event)
            if line and not self.live.is_started:
                self.say(line)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of all complete lines since the last read."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                with contextlib.suppress(ValueError):  # behind half a line of a process that was killed
                    yield json.loads(line)


@contextlib.contextmanager
def show_progress(
    mlruns: Path, settings: SweepConfig, console: Console, say: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """Show a sweep's progress during the block; yield the file to which its processes write events."""
    path = mlruns.resolve() / f".events-{os.getpid()}.jsonl"
    _remove(path)  # a killed process with the same id may have left one
    try:
        with Display(path, settings, console, say):
            yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
