"""Pruning: the intermediate values of a trial, at points where short and long trainings can be compared."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kmpl.method.step_inputs import RetrainInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import retraining
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch

VALUES_PER_TRAINING = 8
"""Number of intermediate values that each training reports."""


def objective(accuracy: float, loss: float) -> float:
    """Return the value that a study maximises: the accuracy on held-out validation labels.

    Few validation images tie often. Log-loss decides ties and nothing else: its share is less than one image's.
    """
    return accuracy - 1e-6 * min(loss, 10.0)


class TrialProgress:
    """The intermediate values of one trial, and the seconds of training that it took and saved.

    Epoch 3 of 4 is at another point of its learning-rate schedule than epoch 3 of 20. So values are compared at equal
    shares of a training, each eighth of it, interpolated between epochs. They are compared round by round, because each
    round trains a new network from scratch. A training from the store reports the same values as a computed one.
    """

    def __init__(self, report: Callable[[float, int], None], rounds: int = 1) -> None:
        self.report = report
        self.rounds = rounds
        self.computed_seconds = 0.0
        """Training that was run."""
        self.cached_seconds = 0.0
        """Training whose result came from the store."""
        self.pruned_seconds = 0.0
        """Training that pruning left out (estimated)."""
        self.epochs: list[Epoch] = []

    def watch_training(self, watch: Watch, number: int, *, epochs: int, train: Callable[[Watch], Fit]) -> Fit:
        """Train, and report each intermediate value as soon as its epoch is over.

        Args:
            watch: receives the same events.
            number: of the round, from 1; labelled-only has one round.
            epochs: planned number of epochs of the training.
            train: the training.
        """
        self.epochs = []
        cached_steps: list[str] = []

        def on_epoch(step: str, epoch: Epoch, epochs: int) -> None:
            watch.epoch(step, epoch, epochs)
            self.computed_seconds += epoch.seconds
            self._add(epoch, epochs, number)

        def on_cached(step: str) -> None:
            watch.found(step)
            cached_steps.append(step)

        fit = train(replace(watch, epoch=on_epoch, found=on_cached))
        if cached_steps:
            self.cached_seconds += fit.seconds
            for epoch in fit.history:
                self._add(epoch, epochs, number)
        return fit

    def watch_rounds(self, steps: Steps) -> Steps:
        """Return the same steps; each retraining reports its intermediate values."""

        def retrain(inputs: RetrainInput) -> Fit:
            def train(watch: Watch) -> Fit:
                return steps.retrain(replace(inputs, watch=watch))

            epochs = retraining(inputs.config, inputs.number).epochs
            return self.watch_training(inputs.watch, inputs.number, epochs=epochs, train=train)

        return replace(steps, retrain=retrain)

    def _add(self, epoch: Epoch, epochs: int, number: int) -> None:
        """Report all values up to this epoch. The last value of a trial is its result, not an intermediate value."""
        self.epochs.append(epoch)
        shares = [e.number / epochs for e in self.epochs]
        values = [e.validation_accuracy for e in self.epochs]
        begin = shares[-2] if len(shares) > 1 else shares[0] - 1e-9  # before the first epoch there is no value
        epochs_left = epochs - epoch.number + epochs * (self.rounds - number)
        self.pruned_seconds = epochs_left * float(np.mean([e.seconds for e in self.epochs]))
        for part in range(1, VALUES_PER_TRAINING + 1):
            share = part / VALUES_PER_TRAINING
            is_result = number == self.rounds and part == VALUES_PER_TRAINING
            if begin < share <= shares[-1] and not is_result:
                # Rounded, or two trials with as many correct images would differ by a bit. Log-loss is left out,
                # because a trial that is behind by log-loss alone is not hopeless.
                value = round(float(np.interp(share, shares, values)), 6)
                self.report(value, (number - 1) * VALUES_PER_TRAINING + part)
        self.pruned_seconds = 0.0
