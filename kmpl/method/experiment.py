"""The method: pretrain, then rounds of embed → cluster → vote → retrain, then the test, once, or a last vote.

Where labels are few, the first round clusters what the images alone have taught.

This is the only place where the order of steps is written. The steps are handed in, so that an engine may wrap them.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm
from kmpl.datasets.types import Pool
from kmpl.method import diagnostics, pretext
from kmpl.method.results import ArmReport, Labelling, PseudoLabels, Report, Round, Voted
from kmpl.method.step_inputs import EvaluateInput, RetrainInput, RoundInput, StepInput
from kmpl.method.step_interface import Steps
from kmpl.runtime.devices import use_threads
from kmpl.training.history import Fit

M = TypeVar("M")


def run(config: ExperimentConfig, steps: Steps) -> Report:
    """Return the report of all arms on the same pool, the same pretrained network and the same draws."""
    use_threads(config.threads)
    pool, truth = steps.load(config)
    steps.begun(pool)
    pretrained = steps.pretrain(StepInput(config=config, pool=pool, watch=steps.watch))
    arms: dict[str, ArmReport] = {}
    for arm in config.arms:
        steps.entering(arm)
        arms[arm] = run_arm(arm, for_arm(config, arm), pool, truth=truth, start=pretrained, steps=steps)
        steps.report(arms[arm])
    return Report(pool, arms)


def run_arm(
    arm: str, config: ExperimentConfig, pool: Pool, *, truth: np.ndarray, start: Fit, steps: Steps
) -> ArmReport:
    """Return one arm's report; the test set is opened at the very end, once."""
    fit, stopped = start, "no rounds by definition"
    rounds: tuple[Round, ...] = ()
    if arm == "oracle":
        labels = oracle_labels(truth, pool)
        fit = steps.retrain(RetrainInput(config=config, pool=pool, watch=steps.watch, number=0, labels=labels))
    elif arm != "labelled-only":
        fit, rounds, stopped = run_rounds(config, pool, truth=truth, start=start, steps=steps)
    evaluation = steps.evaluate(EvaluateInput(config=config, network=fit.network))
    return ArmReport(arm, None if arm == "oracle" else start, rounds, fit, evaluation, stopped)


def run_rounds(
    config: ExperimentConfig, pool: Pool, *, truth: np.ndarray, start: Fit, steps: Steps
) -> tuple[Fit, tuple[Round, ...], str]:
    """Return the last network, the rounds that led to it and why there was no further one."""
    base = StepInput(config=config, pool=pool, watch=steps.watch)
    features = steps.pretext(base) if pretext.wanted(config, pool) else None
    rounds: list[Round] = []

    def vote(fit: Fit, previous: PseudoLabels | None, number: int) -> Voted:
        first = features if number == 1 else None
        return steps.pseudo_label(
            RoundInput(config=config, pool=pool, number=number, fit=fit, previous=previous, features=first)
        )

    def retrain(voted: Voted, number: int) -> Fit:
        fit = steps.retrain(
            RetrainInput(config=config, pool=pool, watch=steps.watch, number=number, labels=voted.labels)
        )
        shown = diagnostics.diagnose(voted.labels, pool.labelled, truth, len(pool.classes))
        seconds = voted.seconds | {"retrain": fit.seconds}
        rounds.append(Round(number, voted.features, voted.labels, fit, shown, seconds))
        return fit

    fit, stopped = self_train(start, vote, retrain, rounds=config.pseudo_labels.rounds)
    return fit, tuple(rounds), stopped


def self_train(
    start: M, vote: Callable[[M, PseudoLabels | None, int], Voted], retrain: Callable[[Voted, int], M], *, rounds: int
) -> tuple[M, str]:
    """Return the last model, whatever kind it is, and why there was no further round of voting and retraining."""
    model = start
    previous: PseudoLabels | None = None
    for number in range(1, rounds + 1):
        voted = vote(model, previous, number)
        if not voted.labels.assigned:
            return model, f"round {number}: no pseudo-label reached the threshold"
        if previous is not None and np.array_equal(voted.labels.classes, previous.classes):
            return model, f"round {number}: no pseudo-label changed"
        model = retrain(voted, number)
        previous = voted.labels
    return model, "all rounds done"


def label(config: ExperimentConfig, pool: Pool, steps: Steps) -> Labelling:
    """Return labels for all images of a pool: the rounds, then a last vote on the features of the last network."""
    pretrained = steps.pretrain(StepInput(config=config, pool=pool, watch=steps.watch))
    fit, rounds, stopped = run_rounds(config, pool, truth=pool.labels, start=pretrained, steps=steps)
    previous = rounds[-1].pseudo_labels if rounds else None
    last = RoundInput(config=config, pool=pool, number=len(rounds) + 1, fit=fit, previous=previous)
    return Labelling(pretrained, rounds, fit, steps.pseudo_label(last), stopped)


def oracle_labels(truth: np.ndarray, pool: Pool) -> PseudoLabels:
    """Return the true labels as if they had been assigned: the oracle's ceiling."""
    return PseudoLabels(truth, truth, np.ones(len(truth)), np.where(pool.labelled, 0, 1))
