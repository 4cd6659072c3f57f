"""How a trial goes while it trains: told to its study in a way that lets short and long trainings be compared."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kmpl.method.step_inputs import RetrainInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import retraining
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch

PARTS = 8
"""Values that are told of each training."""


def value(accuracy: float, loss: float) -> float:
    """Return what a study maximises: accuracy on validation, out of the labelled budget.

    Few validation images tie often; log-loss decides then, and only then: its share is less than one image's.
    """
    return accuracy - 1e-6 * min(loss, 10.0)


class Course:
    """The values of one trial so far, and the time it took and saved.

    Epoch 3 of 4 is at another point of its learning rate's schedule than epoch 3 of 20, so values are compared at equal
    shares of a training, each eighth of it, interpolated between epochs; and round by round, because each round trains
    a new network from scratch. A training that was found in the store tells the same values as one that is computed.
    """

    def __init__(self, tell: Callable[[float, int], None], rounds: int = 1) -> None:
        self.tell, self.rounds = tell, rounds
        self.computed = self.found = self.pruned = 0.0
        """Seconds of training that were run, that the store held, and that pruning left out (estimated)."""
        self.epochs: list[Epoch] = []

    def watched(self, watch: Watch, turn: int, epochs: int, train: Callable[[Watch], Fit]) -> Fit:
        """Train, telling each value as soon as it is known.

        Args:
            watch: who else is told.
            turn: number of the round, from 1; labelled-only has one.
            epochs: that the training is planned for.
            train: the training.
        """
        self.epochs, kept = [], list[str]()

        def epoch(step: str, one: Epoch, epochs: int) -> None:
            watch.epoch(step, one, epochs)
            self.computed += one.seconds
            self._take(one, epochs, turn)

        def found(step: str) -> None:
            watch.found(step)
            kept.append(step)

        fit = train(replace(watch, epoch=epoch, found=found))
        if kept:
            self.found += fit.seconds
            for one in fit.history:
                self._take(one, epochs, turn)
        return fit

    def followed(self, steps: Steps) -> Steps:
        """Return the same steps, with each retraining watched."""

        def retrain(inputs: RetrainInput) -> Fit:
            epochs = retraining(inputs.config, inputs.number).epochs
            return self.watched(
                inputs.watch, inputs.number, epochs, lambda watch: steps.retrain(replace(inputs, watch=watch))
            )

        return replace(steps, retrain=retrain)

    def _take(self, one: Epoch, epochs: int, turn: int) -> None:
        """Tell all values that this epoch settles; the last one of a trial is its result, not a step on the way."""
        self.epochs.append(one)
        shares = [e.number / epochs for e in self.epochs]
        values = [e.validation_accuracy for e in self.epochs]
        begin = shares[-2] if len(shares) > 1 else shares[0] - 1e-9  # before the first epoch nothing is known
        left = (epochs - one.number + epochs * (self.rounds - turn)) * float(np.mean([e.seconds for e in self.epochs]))
        self.pruned = left
        for part in range(1, PARTS + 1):
            share = part / PARTS
            if begin < share <= shares[-1] and not (turn == self.rounds and part == PARTS):
                # Rounded, or two trials that got as many images right would differ by a bit; log-loss is left out,
                # because who is behind by that alone is not hopeless.
                self.tell(round(float(np.interp(share, shares, values)), 6), (turn - 1) * PARTS + part)
        self.pruned = 0.0
