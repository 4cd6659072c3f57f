"""What the events of a sweep say so far: what runs, how much of all is done, how much time is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kmpl.config.experiment import Arm, ExperimentConfig
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig, experiment_name, untuned
from kmpl.jobs.time_left import Pace, Plan, duration

_UNKNOWN = "–"
_TUNED: tuple[Arm, ...] = ("labelled-only", "pseudo-label")


@dataclass
class OneState:
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
    pace: Pace = field(default_factory=Pace)
    """Of its trainings, in seconds an image."""


@dataclass
class State:
    """What the events say so far."""

    settings: SweepConfig
    begin: float = field(default_factory=time.monotonic)
    experiments: dict[str, OneState] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    known: float = 0.0
    """Share that was found finished: it took no time."""
    lately: float | None = None
    """Seconds an image over the last epoch, where anything trains or has trained."""

    def take(self, event: dict[str, Any]) -> str:
        """Take in an event; return the line that tells of it, empty where it is not worth one."""
        one, before = self.experiments.setdefault(event["cell"], OneState()), self.share()
        line = self._take(event, one)
        if event["kind"] in ("found", "finished before"):
            self.known += self.share() - before
        if "epochs" in event:
            images = self._plan(event["cell"]).images(one.parts, one.step)
            one.pace.take(event.get("at", self.clock()), one.done * images, images / event["epochs"])
            running = [e.pace.now for e in self.experiments.values() if e.state == "running" and e.pace.now]
            self.lately = sum(running) / len(running) if running else one.pace.now
        return f"{line}; {self.share():.0%} of all done{self._time()}" if line and event["kind"] == "epoch" else line

    def _take(self, event: dict[str, Any], one: OneState) -> str:
        kind, step = event["kind"], event.get("step", one.step)
        if step != one.step:
            one.pace.rest()
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
        return f" ({over} of {len(names)}{self._time()})" if over < len(names) else ""

    def _time(self) -> str:
        left = self.left()
        return "" if left == _UNKNOWN else f", {left} left"

    def names(self) -> list[str]:
        """Return the names of all experiments."""
        names = [experiment_name(ratio, seed) for ratio in self.settings.ratios for seed in self.settings.seeds]
        return names + [untuned(name) for name in names] if self.settings.trials else names

    def share(self) -> float:
        """Return how much is done, as a fraction of all images to train on; a guess, for people."""
        done, whole = 0.0, 0.0
        for name in self.names():
            plan = self._plan(name)
            whole += plan.whole
            done += _done(plan, self.experiments[name]) if name in self.experiments else 0.0
        for ratio in self.settings.ratios if self.settings.trials else ():
            workers = [one for name, one in self.experiments.items() if name.startswith(f"ratio {ratio}, tuning")]
            over = any(one.state == "finished" for one in workers)
            trials = self.settings.trials * self._plan(f"ratio {ratio}, tuning").whole  # a network of each study
            whole += trials
            done += trials * (1.0 if over else max((one.trials for one in workers), default=0.0))
        return min(done / whole, 1.0)

    def _plan(self, name: str) -> Plan:
        ratio, _, what = name.partition(", ")
        plans = _plans(self.settings, _TUNED if what.startswith("tuning") else self.settings.arms)
        return plans.get(ratio) or next(iter(plans.values()))

    def left(self) -> str:
        """Return the time left, guessed from what the computed share took and from how fast it goes now.

        Where the last epoch was slower than those before it, all that is left will be.
        """
        share, gone = self.share() - self.known, self.clock() - self.begin
        if share < 0.02:
            return _UNKNOWN
        seconds, images = (sum(getattr(e.pace, n) for e in self.experiments.values()) for n in ("seconds", "done"))
        slower = self.lately * images / seconds if self.lately and seconds else 1.0
        seconds = slower * gone * max(1 - self.known - share, 0.0) / share
        return duration(seconds)


def _done(plan: Plan, one: OneState) -> float:
    """Return how much of an experiment's work is done."""
    over = one.state.startswith("finished") or one.state == "diverged"
    return plan.whole if over else plan.done(one.parts, one.step, one.done)


@cache
def _plans(settings: SweepConfig, arms: tuple[Arm, ...]) -> dict[str, Plan]:
    """Return the plan of the experiments of each labelled ratio."""
    base = ExperimentConfig(**settings.experiment.model_dump())
    return {f"ratio {ratio}": Plan.of(merge(base, {"ratio": ratio, "arms": arms})) for ratio in settings.ratios}
