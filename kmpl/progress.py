"""How far a sweep is: experiments write events to one file, from whatever process; a display reads them."""

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kmpl.results import Epoch
from kmpl.steps import Watch
from kmpl.sweep_config import SweepConfig, experiment_name, untuned

_PAUSE = 0.2  # seconds between two looks at the file, and between two events of one step


class Journal:
    """Where an experiment tells of its progress. Nobody waits for it, and nothing fails if it cannot be written."""

    def __init__(self, path: Path | None, **always: str) -> None:
        self.path, self.always, self.last = path, always, 0.0

    def write(self, **event: Any) -> None:
        """Append one event; a line is written at once, so that lines of several processes do not mix."""
        if self.path is not None:
            with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as file:
                file.write(json.dumps(self.always | event).encode() + b"\n")

    def say(self, line: str, share: float = 0.0) -> None:
        """Tell of a trial that is done, and which share of all trials of its labelled ratio is."""
        self.write(kind="trial", said=line, share=share)

    def _batch(self, step: str, done: float, epochs: int) -> None:
        if time.monotonic() - self.last > _PAUSE:
            self.last = time.monotonic()
            self.write(kind="batch", step=step, done=done / epochs)

    def watch(self) -> Watch:
        """Return what training tells of itself, written to this journal."""
        return Watch(
            epoch=lambda step, epoch, n: self.write(
                kind="epoch", step=step, done=epoch.number / n, said=said(epoch, n)
            ),
            batch=self._batch,
            found=lambda step: self.write(kind="found", step=step, done=1.0),
        )


def said(epoch: Epoch, epochs: int) -> str:
    """Return one line about an epoch."""
    held = epoch.validation_accuracy
    validation = "" if held != held else f", validation {held:.2%}"  # NaN: there is no validation image
    return f"epoch {epoch.number}/{epochs}, loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.2%}{validation}"


@dataclass
class _Experiment:
    """What is known of one experiment."""

    arm: str = ""
    parts: int = 0
    """Pretraining and arms that are behind."""
    step: str = ""
    done: float = 0.0
    said: str = ""
    trials: float = 0.0
    """Share of the trials that are done, of a labelled ratio that is tuned."""
    state: str = "waiting"


@dataclass
class State:
    """What the events say so far."""

    settings: SweepConfig
    begin: float = field(default_factory=time.monotonic)
    experiments: dict[str, _Experiment] = field(default_factory=dict)

    def take(self, event: dict[str, Any]) -> str:
        """Take in an event; return the line that tells of it, empty where it is not worth one."""
        one = self.experiments.setdefault(event["cell"], _Experiment())
        kind, step = event["kind"], event.get("step", one.step)
        one.step, one.done, one.said = step, event.get("done", one.done), event.get("said", one.said)
        if kind == "arm":
            one.parts += 1
            one.arm, one.done, one.said, one.step = event["arm"], 0.0, "", ""
            return ""
        if kind in ("begun", "finished", "finished before", "diverged"):
            one.state = "running" if kind == "begun" else kind
            return f"{event['cell']}: {kind}" + (self._of_all() if kind == "finished" else "")
        if kind == "batch":
            return ""
        if kind == "trial":
            one.trials = max(one.trials, event["share"])
            return one.said
        where = f"{event['cell']}, {one.arm}" if one.arm else event["cell"]
        return f"{where}: {step}: {one.said if kind == 'epoch' else 'found in the store'}"

    def _of_all(self) -> str:
        names = self.names()
        over = sum(one.state.startswith("finished") for name, one in self.experiments.items() if name in names)
        return f" ({over} of {len(names)}, {self.left()} left)" if over < len(names) else ""

    def names(self) -> list[str]:
        """Return the names of all experiments."""
        names = [experiment_name(ratio, seed) for ratio in self.settings.ratios for seed in self.settings.seeds]
        return names + [untuned(name) for name in names] if self.settings.trials else names

    def share(self) -> float:
        """Return how much is done, as a fraction of all arms and trials; a guess, for people."""
        names, arms, trials = self.names(), len(self.settings.arms) + 1, 2 * self.settings.trials
        done = arms * sum(self._share(self.experiments[name]) for name in names if name in self.experiments)
        for ratio in self.settings.ratios if trials else ():
            workers = [one for name, one in self.experiments.items() if name.startswith(f"ratio {ratio}, tuning")]
            over = any(one.state == "finished" for one in workers)
            done += trials * (1.0 if over else max((one.trials for one in workers), default=0.0))
        return min(done / (arms * len(names) + trials * len(self.settings.ratios)), 1.0)

    def _share(self, one: _Experiment) -> float:
        """Return how much of an experiment's pretraining and arms is done; an arm's rounds are parts of it."""
        if one.state.startswith("finished") or one.state == "diverged":
            return 1.0
        turn = re.search(r"round (\d+)$", one.step)
        rounds = self.settings.experiment.pseudo_labels.rounds if turn else 1
        behind = min(max(int(turn[1]), 1), rounds) - 1 if turn else 0
        return (one.parts + 0.9 * (behind + one.done) / rounds) / (len(self.settings.arms) + 1)

    def left(self) -> str:
        """Return the time left, guessed from the time that the computed share took."""
        before = sum(one.state == "finished before" for one in self.experiments.values())
        known = before / len(self.names())
        share, gone = self.share() - known, time.monotonic() - self.begin
        if share < 0.02:
            return "–"
        seconds = gone * (1 - known - share) / share
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def picture(state: State) -> Group:
    """Return the live display: a row per labelled ratio, what runs now, and the time left."""
    seeds = state.settings.seeds
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name, justify in (("ratio", "right"), ("seeds done", "right"), ("running", "left"), ("left", "right")):
        grid.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    running = []
    for ratio in state.settings.ratios:
        names = [experiment_name(ratio, seed) for seed in seeds]
        ones = [state.experiments.get(name, _Experiment()) for name in names]
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


def _line(name: str, one: _Experiment) -> Text:
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
        while not self.stop.wait(_PAUSE):
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
