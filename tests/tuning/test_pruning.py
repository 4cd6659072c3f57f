"""Intermediate values: the same points of short and long trainings, the same from computation and from the store."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Pool
from kmpl.errors import PrunedError
from kmpl.method.step_inputs import StepInput
from kmpl.method.steps import load, pretrain
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch, ignore
from kmpl.tuning.pruning import VALUES_PER_TRAINING, TrialProgress, objective


def history(accuracies: list[float]) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            number=i,
            loss=0.5,
            accuracy=0.9,
            validation_loss=0.3,
            validation_accuracy=a,
            learning_rate=0.001,
            seconds=2.0,
        )
        for i, a in enumerate(accuracies, start=1)
    )


def training(fit: Fit, accuracies: list[float], found: bool = False) -> Callable[[Watch], Fit]:
    """Return what tells of epochs as training does, or as the store does."""

    def train(watch: Watch) -> Fit:
        for epoch in history(accuracies) if not found else ():
            watch.epoch("pretrain", epoch, len(accuracies))
        if found:
            watch.found("pretrain")
        return replace(fit, history=history(accuracies), seconds=2.0 * len(accuracies))

    return train


@pytest.fixture(scope="module")
def pool(tiny: ExperimentConfig) -> Pool:
    return load(tiny)[0]


@pytest.fixture(scope="module")
def fit(tiny: ExperimentConfig, pool: Pool) -> Fit:
    return pretrain(StepInput(config=tiny, pool=pool))


def told(fit: Fit, *rounds: list[float], found: bool = False) -> dict[int, float]:
    points: dict[int, float] = {}
    progress = TrialProgress(lambda one, step: points.update({step: one}), rounds=len(rounds))
    for number, accuracies in enumerate(rounds, start=1):
        progress.watch_training(Watch(), number, epochs=len(accuracies), train=training(fit, accuracies, found))
    return points


def test_short_and_long_trainings_meet_at_the_same_shares(fit: Fit) -> None:
    slow = told(fit, list(np.linspace(1 / 24, 1, 24)))
    fast = told(fit, list(np.linspace(1 / 4, 1, 4)))
    assert set(slow) == set(range(1, VALUES_PER_TRAINING))  # the last is the result
    assert set(fast) == set(range(2, VALUES_PER_TRAINING))  # before the first epoch nothing is known
    for step in fast:
        assert fast[step] == pytest.approx(slow[step])
        assert fast[step] == step / VALUES_PER_TRAINING


def test_rounds_are_compared_with_the_same_round(fit: Fit) -> None:
    points = told(fit, [0.5, 0.6], [0.7, 0.8])
    assert points[VALUES_PER_TRAINING] == 0.6  # the end of a round that is not the last
    assert points[VALUES_PER_TRAINING + VALUES_PER_TRAINING // 2] == 0.7
    assert 2 * VALUES_PER_TRAINING not in points


def test_one_epoch_tells_nothing_but_the_result(fit: Fit) -> None:
    assert told(fit, [0.9]) == {}


@pytest.mark.parametrize("rounds", [([0.1, 0.5, 0.4],), ([0.1, 0.2], [0.3, 0.1, 0.2])])
def test_the_store_tells_what_training_told(fit: Fit, rounds: tuple[list[float], ...]) -> None:
    assert told(fit, *rounds, found=True) == told(fit, *rounds)


def test_a_real_training_tells_as_it_goes(tiny: ExperimentConfig, pool: Pool) -> None:
    points: dict[int, float] = {}
    progress = TrialProgress(lambda one, step: points.update({step: one}))

    def train(watch: Watch) -> Fit:
        return pretrain(StepInput(config=tiny, pool=pool, watch=watch))

    fit = progress.watch_training(Watch(), 1, epochs=tiny.pretrain.epochs, train=train)
    assert set(points) == set(range(3, VALUES_PER_TRAINING))
    assert progress.computed_seconds == pytest.approx(sum(e.seconds for e in fit.history))
    assert (progress.cached_seconds, progress.pruned_seconds) == (0.0, 0.0)


def test_cached_and_pruned_seconds_are_counted(fit: Fit) -> None:
    progress = TrialProgress(ignore)
    progress.watch_training(Watch(), 1, epochs=4, train=training(fit, [0.1] * 4, found=True))
    assert (progress.computed_seconds, progress.cached_seconds) == (0.0, 8.0)

    def stop(*_: object) -> None:
        raise PrunedError("enough")

    progress = TrialProgress(stop, rounds=2)
    with pytest.raises(PrunedError):
        progress.watch_training(Watch(), 1, epochs=4, train=training(fit, [0.1] * 4))
    assert progress.computed_seconds == 2.0
    assert progress.pruned_seconds == (3 + 4) * 2.0  # three epochs of this round, and the whole second one


def test_log_loss_decides_ties_and_nothing_else() -> None:
    assert objective(0.9, 0.2) > objective(0.9, 0.3)
    assert objective(0.9 + 1 / 60_000, 1e9) > objective(0.9, 0.0)
