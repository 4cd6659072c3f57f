"""The method: pretrain, then rounds of embed → cluster → vote → retrain, then the test, once, or a last vote.

Where labels are few, the first round clusters what the images alone have taught.

This is the only place where the order of steps is written. The steps are handed in, so that an engine may wrap them.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kmpl.config.backbones import NO_BACKBONE
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm
from kmpl.datasets.types import Pool
from kmpl.method import diagnostics, pretext
from kmpl.method.frozen_pool import with_features
from kmpl.method.results import ArmReport, Labelling, PseudoLabels, Report, Round, Voted
from kmpl.method.step_inputs import EvaluateInput, StepInput
from kmpl.method.step_interface import Steps
from kmpl.runtime.devices import use_threads
from kmpl.training.history import Fit

M = TypeVar("M")


def run(config: ExperimentConfig, steps: Steps) -> Report:
    """Return the report of all arms on the same pool, the same pretrained network and the same draws."""
    use_threads(config.threads)
    pool, truth = steps.load(config)
    if config.backbone != NO_BACKBONE:
        values = steps.embed(StepInput(config=config, pool=pool, watch=steps.watch))
        pool = with_features(pool, values, config, config.seed)
    steps.begun(pool)
    pretrained = steps.pretrain(StepInput(config=config, pool=pool, watch=steps.watch))
    arms: dict[str, ArmReport] = {}
    for arm in config.arms:
        steps.entering(arm)
        arms[arm] = run_arm(arm, for_arm(config, arm), pool, truth=truth, start=pretrained, steps=steps)
        steps.report(arms[arm])
    return Report(pool=pool, arms=arms)


def run_arm(
    arm: str, config: ExperimentConfig, pool: Pool, *, truth: np.ndarray, start: Fit, steps: Steps
) -> ArmReport:
    """Return one arm's report; the test set is opened at the very end, once."""
    base = StepInput(config=config, pool=pool, watch=steps.watch)
    fit = start
    rounds: tuple[Round, ...] = ()
    stop_reason = "no rounds by definition"
    if arm == "oracle":
        fit = steps.retrain(base.for_retraining(0, oracle_labels(truth, pool)))
    elif arm != "labelled-only":
        fit, rounds, stop_reason = run_rounds(base, truth=truth, start=start, steps=steps)
    return ArmReport(
        arm=arm,
        pretrained=None if arm == "oracle" else start,
        rounds=rounds,
        fit=fit,
        evaluation=steps.evaluate(EvaluateInput(config=config, network=fit.network)),
        stop_reason=stop_reason,
    )


def run_rounds(base: StepInput, *, truth: np.ndarray, start: Fit, steps: Steps) -> tuple[Fit, tuple[Round, ...], str]:
    """Return the last network, the rounds that led to it and why there was no further one."""
    features = steps.pretext(base) if pretext.wanted(base.config, base.pool) else None
    rounds: list[Round] = []

    def vote(fit: Fit, previous: PseudoLabels | None, number: int) -> Voted:
        first = features if number == 1 else None
        return steps.pseudo_label(base.for_round(number, fit, previous=previous, features=first))

    def retrain(voted: Voted, number: int) -> Fit:
        fit = steps.retrain(base.for_retraining(number, voted.labels))
        rounds.append(diagnostics.round_of(voted, fit, number=number, pool=base.pool, truth=truth))
        return fit

    fit, stop_reason = self_train(start, vote, retrain, rounds=base.config.pseudo_labels.rounds)
    return fit, tuple(rounds), stop_reason


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
    base = StepInput(config=config, pool=pool, watch=steps.watch)
    start = steps.pretrain(base)
    fit, rounds, stop_reason = run_rounds(base, truth=pool.labels, start=start, steps=steps)
    previous = rounds[-1].pseudo_labels if rounds else None
    vote = steps.pseudo_label(base.for_round(len(rounds) + 1, fit, previous=previous))
    return Labelling(pretrained=start, rounds=rounds, fit=fit, vote=vote, stop_reason=stop_reason)


def oracle_labels(truth: np.ndarray, pool: Pool) -> PseudoLabels:
    """Return the true labels as if they had been assigned: the oracle's ceiling."""
    return PseudoLabels(
        classes=truth, guesses=truth, confidence=np.ones(len(truth)), rounds=np.where(pool.labelled, 0, 1)
    )
