"""How far a sweep is: experiments write events to one file, from whatever process; a display reads them."""

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
from kmpl.jobs.sweep_state import OneState, State


def picture(state: State) -> Group:
    """Return the live display: a row per labelled ratio, what runs now, and the time left."""
    seeds = state.settings.seeds
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, justify in (("ratio", "right"), ("seeds done", "right"), ("running", "left"), ("left", "right")):
        grid.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    running = []
    for ratio in state.settings.ratios:
        names = [experiment_name(ratio, seed) for seed in seeds]
        ones = [state.experiments.get(name, OneState()) for name in names]
        done = sum(one.state.startswith("finished") for one in ones)
        now = [seed for seed, one in zip(seeds, ones, strict=True) if one.state == "running"]
        running += [(n, one) for n, one in zip(names, ones, strict=True) if one.state == "running"]
        text = f"seed {', '.join(map(str, now))}" if now else ""
        grid.add_row(str(ratio), f"{done}/{len(seeds)}", text, str(len(seeds) - done - len(now)))
    known = {name for name, _ in running}
    running += [(n, one) for n, one in state.experiments.items() if one.state == "running" and n not in known]
    lines = [_line(name, one) for name, one in running]
    gone = (time.monotonic() - state.begin) / 60
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(1.0, state.share(), width=30), f"{state.share():.0%}, {gone:.1f} min, left {state.left()}")
    return Group(grid, *lines, bar)


def _line(name: str, one: OneState) -> Text:
    where = f"{name}  {one.arm}  {one.step or 'preparing'} "
    return Text(f"{where} {one.done:4.0%}  {one.said}", no_wrap=True, overflow="ellipsis")


class Display:
    """Shows a journal as it grows: live on a terminal, as plain lines elsewhere, not at all if nobody listens."""

    def __init__(
        self, path: Path, settings: SweepConfig, console: Console, say: Callable[[str], None] | None = None
    ) -> None:
        self.path, self.console, self.state = path, console, State(settings)
        self.say = say or (lambda line: console.print(line, highlight=False, soft_wrap=True))
        self.stop, self.place = threading.Event(), 0
        self.live = Live(console=console, get_renderable=lambda: picture(self.state), refresh_per_second=4)
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
            line = self.state.take(event)
            if line and not self.live.is_started:
                self.say(line)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield the whole lines that came since the last look."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.place += len(line)
                yield json.loads(line)


@contextlib.contextmanager
def shown(
    mlruns: Path, settings: SweepConfig, console: Console, say: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """Show a sweep's progress; give the file that its experiments tell of it in."""
    path = mlruns.resolve() / f".events-{os.getpid()}.jsonl"
    _remove(path)  # of a process that was killed and had this one's number
    try:
        with Display(path, settings, console, say):
            yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
