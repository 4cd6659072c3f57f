"""How much of a whole job is done and how long the rest takes, from the trainings that it consists of."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.jobs.time_left import Pace, Plan, duration

Trainings = Sequence[tuple[str, int]]
"""The trainings of a job in their order: the name of the step, and how many images it sees."""
_LEAST, _MOST = 2_000, 10_000  # images in an epoch of learning without labels, where the settings leave it open


def of_experiment(config: ExperimentConfig) -> Trainings:
    """Return the trainings of an experiment, if no round is left out; a guess, for people."""
    first, *arms = Plan.of(config).arms
    rounds = [
        (f"retrain, round {0 if arm == 'oracle' else number}", images)
        for arm, trainings in zip(config.arms, arms, strict=True)
        for number, images in enumerate(trainings, start=1)
    ]
    return [*(("pretrain", images) for images in first), *rounds]


def of_pretext(config: Learning, n_images: int) -> Trainings:
    """Return the trainings without labels of so many images."""
    settings = config.pretext
    per_epoch = settings.training.images_per_epoch or min(max(n_images, _LEAST), _MOST)
    images = settings.training.epochs * per_epoch
    return [(f"without labels, round {number}", images) for number in range(1, settings.rounds + 1)]


@dataclass
class WholeJob:
    """How far a job is: told of each step, it says which share of all images have been trained on."""

    trainings: Trainings
    clock: Callable[[], float] = time.monotonic
    place: int = -1
    """The training that is at work, or was last."""
    done: float = 0.0
    """Share of that one."""
    pace: Pace = field(default_factory=Pace)
    """In seconds an image."""

    @property
    def total(self) -> int:
        """Images of all trainings."""
        return sum(images for _, images in self.trainings)

    @property
    def images(self) -> float:
        """Images that are behind: those of trainings that were left out or found in the store, too."""
        before = sum(images for _, images in self.trainings[: max(self.place, 0)])
        return before + (self.done * self.trainings[self.place][1] if self.place >= 0 else 0.0)

    def take(self, step: str, done: float, epochs: int) -> bool:
        """Take in how many epochs of a step are done; return whether it is one of the trainings."""
        if not self._enter(step, done / epochs):
            return False
        images = self.trainings[self.place][1]
        self.done = done / epochs
        self.pace.take(self.clock(), self.done * images, images / epochs)
        return True

    def found(self, step: str) -> None:
        """Take in that a step is in the store."""
        if self._enter(step, 1.0):
            self.done = 1.0
            self.pace.rest()

    def _enter(self, step: str, done: float) -> bool:
        """Go on to the training of that name, the next one if the last is over; return whether there is one."""
        now = self.trainings[self.place][0] if self.place >= 0 else ""
        if now == step and done >= self.done:
            return True
        for place in range(self.place + 1, len(self.trainings)):
            if self.trainings[place][0] == step:
                self.place, self.done = place, 0.0
                self.pace.rest()
                return True
        return False

    def left(self) -> float | None:
        """Return the seconds left if all images take as long as those of the last epoch; None if nobody knows."""
        return None if self.pace.now is None else self.pace.now * (self.total - self.images)

    def __str__(self) -> str:
        """Return how much is done and left, for people; empty as long as nobody knows."""
        left = self.left()
        if left is None:
            return ""
        return f"{self.images / self.total:.0%} of all done, {duration(left)} left"
