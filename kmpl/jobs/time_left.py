"""Estimates of the time left: how much training an experiment has, and how long training takes now."""

import re
from collections import deque
from dataclasses import dataclass, field

from kmpl.config.experiment import ExperimentConfig, Training
from kmpl.config.presets import for_arm
from kmpl.method.steps import retraining

_OVERHEAD = 0.02  # reading, clustering and testing, as a share of all training, for each part of an experiment
_DEFAULT_POOL_IMAGES = 60_000  # if the settings say "all"


@dataclass
class Pace:
    """Seconds per unit of work, over the last epoch.

    A machine that gets busy, or free, is noticed within one epoch, however long the work has gone on before.

    >>> pace = Pace()
    >>> for second in range(11):  # an epoch a second
    ...     pace.add(float(second), done=float(second), epoch=1.0)
    >>> pace.now
    1.0
    >>> pace.add(20.0, done=11.0, epoch=1.0)  # and one that takes ten
    >>> pace.now
    10.0
    """

    seconds: float = 0.0
    """Seconds of all observed training."""
    done: float = 0.0
    """Work of all observed training."""
    now: float | None = None
    """Seconds per unit of work, over the last epoch; None before the first observation."""
    _observations: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, at: float, *, done: float, epoch: float) -> None:
        """Add an observation. If less is done than in the last one, another training has begun.

        Args:
            at: time, seconds.
            done: finished work of the training.
            epoch: work of one epoch.
        """
        observations = self._observations
        if observations and done < observations[-1][1]:
            self.pause()
        if observations:
            last_at, last_done = observations[-1]
            self.seconds = self.seconds + at - last_at
            self.done = self.done + done - last_done
        observations.append((at, done))
        while len(observations) > 2 and done - observations[1][1] >= epoch * (1 - 1e-9):
            observations.popleft()
        first_at, first_done = observations[0]
        if done > first_done:
            self.now = (at - first_at) / (done - first_done)

    def pause(self) -> None:
        """Count the time until the next observation to no training."""
        self._observations.clear()


@dataclass(frozen=True)
class Plan:
    """Number of images that each part of an experiment trains on, if no round is left out; an estimate for people."""

    arms: tuple[tuple[int, ...], ...]
    """The trainings of each part, round by round: pretraining first, then the arms in their order."""
    pretext: int
    """A round of training without labels. Few experiments have it, so it does not count in the whole."""

    @classmethod
    def of(cls, config: ExperimentConfig) -> "Plan":
        """Return the plan of an experiment."""
        n_images = config.pool.size or _DEFAULT_POOL_IMAGES
        labelled = config.labels or round((config.ratio or 1) * n_images)
        pretrain = (_images_of(config.pretrain, labelled),)
        arms = [_images_of_arm(config, arm, n_images) for arm in config.arms]
        return cls((pretrain, *arms), _images_of(config.pretext.training, n_images))

    @property
    def whole(self) -> float:
        """Work of the whole experiment."""
        return sum(map(self.part, range(len(self.arms))))

    def part(self, number: int) -> float:
        """Return the work of a part: its images, and the work beside training."""
        return sum(self.arms[number]) + max(1.0, _OVERHEAD * sum(map(sum, self.arms)))

    def images(self, number: int, step: str) -> int:
        """Return the number of images that a step of a part trains on."""
        if step.startswith("without labels"):
            return self.pretext
        if not number and step != "pretrain":  # tuning enters no arm
            number = len(self.arms) - 1
        trainings = self.arms[min(number, len(self.arms) - 1)]
        return trainings[min(_round_number(step), len(trainings)) - 1] if trainings else 0

    def done(self, number: int, step: str, share: float) -> float:
        """Return the finished work, with all earlier parts.

        Args:
            number: of the part that runs.
            step: that runs.
            share: finished share of the step.
        """
        earlier_parts = sum(map(self.part, range(number)))
        if step.startswith("without labels") or number >= len(self.arms):
            return earlier_parts
        earlier_rounds = sum(self.arms[number][: _round_number(step) - 1])
        return earlier_parts + earlier_rounds + share * self.images(number, step)


def _images_of(training: Training, n_images: int) -> int:
    return training.epochs * (training.images_per_epoch or n_images)


def _images_of_arm(config: ExperimentConfig, arm: str, n_images: int) -> tuple[int, ...]:
    settings = for_arm(config, arm)
    rounds = {"labelled-only": (), "oracle": (0,)}.get(arm, range(1, settings.pseudo_labels.rounds + 1))
    return tuple(_images_of(retraining(settings, number), n_images) for number in rounds)


def _round_number(step: str) -> int:
    match = re.search(r"round (\d+)$", step)
    return max(int(match[1]), 1) if match else 1


def duration(seconds: float) -> str:
    """Return a time left as text.

    >>> duration(80), duration(100)
    ('80 s', '2 min')
    """
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
