"""The progress of a whole job: finished share and time left, from the trainings of the job."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.jobs.time_left import Pace, Plan, duration

Trainings = Sequence[tuple[str, int]]
"""The trainings of a job in their order: the name of the step, and the number of images that it trains on."""
_MIN_PER_EPOCH = 2_000  # images of an epoch without labels, if the settings leave it open, as in kmpl.method.pretext
_MAX_PER_EPOCH = 10_000


def of_experiment(config: ExperimentConfig) -> Trainings:
    """Return the trainings of an experiment, if no round is left out; an estimate for people."""
    first, *arms = Plan.of(config).arms
    rounds = [
        (f"retrain, round {0 if arm == 'oracle' else number}", images)
        for arm, trainings in zip(config.arms, arms, strict=True)
        for number, images in enumerate(trainings, start=1)
    ]
    return [*(("pretrain", images) for images in first), *rounds]


def of_pretext(config: Learning, n_images: int) -> Trainings:
    """Return the trainings without labels on a number of images."""
    settings = config.pretext
    per_epoch = settings.training.images_per_epoch or min(max(n_images, _MIN_PER_EPOCH), _MAX_PER_EPOCH)
    images = settings.training.epochs * per_epoch
    return [(f"without labels, round {number}", images) for number in range(1, settings.rounds + 1)]


@dataclass
class WholeJob:
    """Progress of a job: the share of all its training images, and the time that the rest takes."""

    trainings: Trainings
    clock: Callable[[], float] = time.monotonic
    index: int = -1
    """Of the training that runs, or of the last one that ran; −1 before the first."""
    done: float = 0.0
    """Finished share of that training."""
    pace: Pace = field(default_factory=Pace)
    """Seconds per image."""

    @property
    def total(self) -> int:
        """Number of images of all trainings."""
        return sum(images for _, images in self.trainings)

    @property
    def images(self) -> float:
        """Number of finished images, with those of trainings that were left out or came from the store."""
        earlier = sum(images for _, images in self.trainings[: max(self.index, 0)])
        return earlier + (self.done * self.trainings[self.index][1] if self.index >= 0 else 0.0)

    def add(self, step: str, done: float, epochs: int) -> bool:
        """Add an observation; return whether the step is one of the trainings.

        Args:
            step: that runs.
            done: finished epochs of the step, as a fraction.
            epochs: of the step.
        """
        if not self._enter(step, done / epochs):
            return False
        images = self.trainings[self.index][1]
        self.done = done / epochs
        self.pace.add(self.clock(), done=self.done * images, epoch=images / epochs)
        return True

    def skip(self, step: str) -> None:
        """Count a step as finished at once, because its result comes from the store."""
        if self._enter(step, 1.0):
            self.done = 1.0
            self.pace.pause()

    def _enter(self, step: str, done: float) -> bool:
        """Go on to the step's training, the next one of that name if the last is over; return whether there is one."""
        current = self.trainings[self.index][0] if self.index >= 0 else ""
        if current == step and done >= self.done:
            return True
        for index in range(self.index + 1, len(self.trainings)):
            if self.trainings[index][0] == step:
                self.index = index
                self.done = 0.0
                self.pace.pause()
                return True
        return False

    def seconds_left(self) -> float | None:
        """Return the seconds left if all images take as long as those of the last epoch; None before the first."""
        return None if self.pace.now is None else self.pace.now * (self.total - self.images)

    def __str__(self) -> str:
        """Return the finished share and the time left as text; empty before the first estimate."""
        seconds = self.seconds_left()
        if seconds is None:
            return ""
        return f"{self.images / self.total:.0%} of all done, {duration(seconds)} left"
