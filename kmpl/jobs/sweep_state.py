"""The state of a sweep, from its events: running experiments, finished share, time left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kmpl.config.experiment import Arm, ExperimentConfig
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig, experiment_name, untuned
from kmpl.jobs.time_left import Pace, Plan, duration

_TUNED_ARMS: tuple[Arm, ...] = ("labelled-only", "pseudo-label")
_UNKNOWN = "–"
_MIN_SHARE_FOR_ESTIMATE = 0.02  # computed share of the sweep, before the time left is estimated


@dataclass
class ExperimentState:
    """State of one experiment, or of one process that tunes."""

    arm: str = ""
    parts: int = 0
    """Number of finished parts (pretraining and arms)."""
    step: str = ""
    done: float = 0.0
    """Finished share of the step."""
    message: str = ""
    trials: float = 0.0
    """Finished share of the trials, if it tunes."""
    state: str = "waiting"
    pace: Pace = field(default_factory=Pace)
    """Seconds per image of its trainings."""

    def is_finished(self) -> bool:
        return self.state.startswith("finished")


@dataclass
class SweepState:
    """State of a sweep after the events so far."""

    settings: SweepConfig
    begin: float = field(default_factory=time.monotonic)
    experiments: dict[str, ExperimentState] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    cached_share: float = 0.0
    """Share of the sweep that came finished from the store; it took no time."""
    seconds_per_image: float | None = None
    """Over the last epoch, mean of all running trainings; None before the first training."""

    def add(self, event: dict[str, Any]) -> str:
        """Add an event; return its line of text, empty if the event needs none."""
        experiment = self.experiments.setdefault(event["cell"], ExperimentState())
        share = self.share()
        line = self._update(experiment, event)
        if event["kind"] in ("found", "finished before"):
            self.cached_share += self.share() - share
        if "epochs" in event:
            images = self._plan(event["cell"]).images(experiment.parts, experiment.step)
            at = event.get("at", self.clock())
            experiment.pace.add(at, done=experiment.done * images, epoch=images / event["epochs"])
            paces = [e.pace.now for e in self.experiments.values() if e.state == "running" and e.pace.now]
            self.seconds_per_image = sum(paces) / len(paces) if paces else experiment.pace.now
        return f"{line}; {self.share():.0%} of all done{self._time_text()}" if event["kind"] == "epoch" else line

    def _update(self, experiment: ExperimentState, event: dict[str, Any]) -> str:
        kind = event["kind"]
        step = event.get("step", experiment.step)
        if step != experiment.step:
            experiment.pace.pause()
        experiment.step = step
        experiment.done = event.get("done", experiment.done)
        experiment.message = event.get("said", experiment.message)
        if kind == "arm":
            experiment.parts += 1
            experiment.arm = event["arm"]
            experiment.step = ""
            experiment.done = 0.0
            experiment.message = ""
            return ""
        if kind in ("begun", "finished", "finished before", "diverged"):
            experiment.state = "running" if kind == "begun" else kind
            return f"{event['cell']}: {kind}" + (self._count_text() if kind == "finished" else "")
        if kind == "batch":
            return ""
        if kind == "trial":
            experiment.trials = max(experiment.trials, event["share"])
            return experiment.message
        name = f"{event['cell']}, {experiment.arm}" if experiment.arm else event["cell"]
        return f"{name}: {step}: {experiment.message if kind == 'epoch' else 'found in the store'}"

    def _count_text(self) -> str:
        names = self.names()
        finished = sum(e.is_finished() for name, e in self.experiments.items() if name in names)
        return f" ({finished} of {len(names)}{self._time_text()})" if finished < len(names) else ""

    def _time_text(self) -> str:
        left = self.time_left()
        return "" if left == _UNKNOWN else f", {left} left"

    def names(self) -> list[str]:
        """Return the names of all experiments."""
        names = [experiment_name(ratio, seed) for ratio in self.settings.ratios for seed in self.settings.seeds]
        return names + [untuned(name) for name in names] if self.settings.trials else names

    def share(self) -> float:
        """Return the finished share of the sweep, as a fraction of all training images; an estimate for people."""
        done = 0.0
        whole = 0.0
        for name in self.names():
            plan = self._plan(name)
            whole += plan.whole
            done += _done(plan, self.experiments[name]) if name in self.experiments else 0.0
        for ratio in self.settings.ratios if self.settings.trials else ():
            workers = [e for name, e in self.experiments.items() if name.startswith(f"ratio {ratio}, tuning")]
            finished = any(worker.state == "finished" for worker in workers)
            trials = self.settings.trials * self._plan(f"ratio {ratio}, tuning").whole  # a network of each study
            whole += trials
            done += trials * (1.0 if finished else max((worker.trials for worker in workers), default=0.0))
        return min(done / whole, 1.0)

    def _plan(self, name: str) -> Plan:
        ratio, _, rest = name.partition(", ")
        plans = _plans(self.settings, _TUNED_ARMS if rest.startswith("tuning") else self.settings.arms)
        return plans.get(ratio) or next(iter(plans.values()))

    def time_left(self) -> str:
        """Return the time left, estimated from the time of the computed share and from the present pace.

        If the last epoch was slower than the earlier ones, the rest is expected to be as slow.
        """
        computed_share = self.share() - self.cached_share
        elapsed = self.clock() - self.begin
        if computed_share < _MIN_SHARE_FOR_ESTIMATE:
            return _UNKNOWN
        train_seconds = sum(e.pace.seconds for e in self.experiments.values())
        images = sum(e.pace.done for e in self.experiments.values())
        slowdown = self.seconds_per_image * images / train_seconds if self.seconds_per_image and train_seconds else 1.0
        share_left = max(1 - self.cached_share - computed_share, 0.0)
        return duration(slowdown * elapsed * share_left / computed_share)


def _done(plan: Plan, experiment: ExperimentState) -> float:
    """Return the finished work of an experiment."""
    if experiment.is_finished() or experiment.state == "diverged":
        return plan.whole
    return plan.done(experiment.parts, experiment.step, experiment.done)


@cache
def _plans(settings: SweepConfig, arms: tuple[Arm, ...]) -> dict[str, Plan]:
    """Return the plan of the experiments of each labelled ratio."""
    base = ExperimentConfig(**settings.experiment.model_dump())
    return {f"ratio {ratio}": Plan.of(merge(base, {"ratio": ratio, "arms": arms})) for ratio in settings.ratios}
