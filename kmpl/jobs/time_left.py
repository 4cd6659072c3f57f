"""How much training there is, and how long it takes now: what tells how much time is left."""

import re
from collections import deque
from dataclasses import dataclass, field

from kmpl.config.experiment import ExperimentConfig, Training
from kmpl.config.presets import for_arm
from kmpl.method.steps import retraining

_BESIDE = 0.02  # reading, clustering and testing, as a share of all training, for each part of an experiment
_POOL = 60_000  # images, where the settings say "all"


@dataclass
class Pace:
    """Seconds that a unit of work takes, over the last epoch's worth of it.

    A machine that gets busy, or free, is noticed within one epoch, however long the work has gone on before.

    >>> pace = Pace()
    >>> for second in range(11):  # an epoch a second
    ...     pace.take(float(second), done=float(second), epoch=1.0)
    >>> pace.now
    1.0
    >>> pace.take(20.0, done=11.0, epoch=1.0)  # and one that takes ten
    >>> pace.now
    10.0
    """

    seconds: float = 0.0
    """Of all that was taken in."""
    done: float = 0.0
    """Work of all that was taken in."""
    now: float | None = None
    """Seconds a unit of work, over the last epoch's worth; None as long as nothing is known."""
    _seen: deque[tuple[float, float]] = field(default_factory=deque)

    def take(self, at: float, done: float, epoch: float) -> None:
        """Take in how much of a training is done at a time in seconds; ``epoch`` is the work of an epoch.

        Where less is done than before, another training has begun.
        """
        seen = self._seen
        if seen and done < seen[-1][1]:
            self.rest()
        if seen:
            self.seconds, self.done = self.seconds + at - seen[-1][0], self.done + done - seen[-1][1]
        seen.append((at, done))
        while len(seen) > 2 and done - seen[1][1] >= epoch * (1 - 1e-9):
            seen.popleft()
        if done > seen[0][1]:
            self.now = (at - seen[0][0]) / (done - seen[0][1])

    def rest(self) -> None:
        """Let the time until the next news belong to no training."""
        self._seen.clear()


@dataclass(frozen=True)
class Plan:
    """How many images each part of an experiment sees in training, if no round is left out; a guess, for people."""

    arms: tuple[tuple[int, ...], ...]
    """The trainings of each part, round by round: pretraining first, then the arms in their order."""
    pretext: int
    """A round of learning without labels, which few experiments have: no part of the whole."""

    @classmethod
    def of(cls, config: ExperimentConfig) -> "Plan":
        """Return the plan of an experiment."""
        pool = config.pool.size or _POOL
        labelled = config.labels or round((config.ratio or 1) * pool)
        arms = [(_seen(config.pretrain, labelled),), *(_trainings(config, arm, pool) for arm in config.arms)]
        return cls(tuple(arms), _seen(config.pretext.training, pool))

    @property
    def whole(self) -> float:
        """All of the experiment."""
        return sum(map(self.part, range(len(self.arms))))

    def part(self, number: int) -> float:
        """Return how much work a part is: its images, and what goes on beside training."""
        return sum(self.arms[number]) + max(1.0, _BESIDE * sum(map(sum, self.arms)))

    def images(self, number: int, step: str) -> int:
        """Return how many images a step of a part sees."""
        if step.startswith("without labels"):
            return self.pretext
        if not number and step != "pretrain":  # who tunes enters no arm
            number = len(self.arms) - 1
        trainings = self.arms[min(number, len(self.arms) - 1)]
        return trainings[min(_round(step), len(trainings)) - 1] if trainings else 0

    def done(self, number: int, step: str, share: float) -> float:
        """Return how much work is done when the share of a step of a part is, all parts before it included."""
        before = sum(map(self.part, range(number)))
        if step.startswith("without labels") or number >= len(self.arms):
            return before
        return before + sum(self.arms[number][: _round(step) - 1]) + share * self.images(number, step)


def _seen(training: Training, n: int) -> int:
    return training.epochs * (training.images_per_epoch or n)


def _trainings(config: ExperimentConfig, arm: str, pool: int) -> tuple[int, ...]:
    settings = for_arm(config, arm)
    rounds = {"labelled-only": (), "oracle": (0,)}.get(arm, range(1, settings.pseudo_labels.rounds + 1))
    return tuple(_seen(retraining(settings, number), pool) for number in rounds)


def _round(step: str) -> int:
    turn = re.search(r"round (\d+)$", step)
    return max(int(turn[1]), 1) if turn else 1


def duration(seconds: float) -> str:
    """Return a time that is left, for people.

    >>> duration(80), duration(100)
    ('80 s', '2 min')
    """
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
