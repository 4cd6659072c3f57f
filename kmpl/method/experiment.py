"""The method: pretrain, then rounds of embed → cluster → vote → retrain, then the test, once, or a last vote.

Where labels are few, the first round clusters what the images alone have taught.

This is the only place where the order of steps is written. The steps are handed in, so that an engine may wrap them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm
from kmpl.datasets.types import Pool
from kmpl.method import diagnostics, pretext, steps
from kmpl.method.results import ArmReport, Evaluation, Labelling, PseudoLabels, Report, Round, Voted
from kmpl.models.network import Network
from kmpl.runtime.devices import use_threads
from kmpl.training.history import Fit
from kmpl.training.watch import Watch, silent

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps as functions. ``evaluate`` has no default: who may open the test set hands it in."""

    evaluate: Callable[[ExperimentConfig, Network], Evaluation]
    load: Callable[[ExperimentConfig], tuple[Pool, np.ndarray]] = steps.load
    pretrain: Callable[[ExperimentConfig, Pool, Watch], Fit] = steps.pretrain
    pretext: Callable[[ExperimentConfig, Pool, Watch], np.ndarray] = pretext.of_pool
    pseudo_label: Callable[..., Voted] = steps.pseudo_label
    retrain: Callable[[ExperimentConfig, Pool, PseudoLabels, Watch, int], Fit] = steps.retrain
    watch: Watch = field(default_factory=Watch)
    begun: Callable[[Pool], None] = silent
    entering: Callable[[str], None] = silent
    finished: Callable[[ArmReport], None] = silent


def run(config: ExperimentConfig, steps: Steps) -> Report:
    """Return the report of all arms on the same pool, the same pretrained network and the same draws."""
    use_threads(config.threads)
    pool, truth = steps.load(config)
    steps.begun(pool)
    pretrained = steps.pretrain(config, pool, steps.watch)
    arms: dict[str, ArmReport] = {}
    for arm in config.arms:
        steps.entering(arm)
        arms[arm] = run_arm(arm, for_arm(config, arm), pool, truth, pretrained, steps)
        steps.finished(arms[arm])
    return Report(pool, arms)


def run_arm(arm: str, config: ExperimentConfig, pool: Pool, truth: np.ndarray, start: Fit, steps: Steps) -> ArmReport:
    """Return one arm's report; the test set is opened at the very end, once."""
    fit, stopped = start, "no rounds by definition"
    rounds: tuple[Round, ...] = ()
    if arm == "oracle":
        fit = steps.retrain(config, pool, all_right(truth, pool), steps.watch, 0)
    elif arm != "labelled-only":
        fit, rounds, stopped = run_rounds(config, pool, truth, start, steps)
    evaluation = steps.evaluate(config, fit.network)
    return ArmReport(arm, None if arm == "oracle" else start, rounds, fit, evaluation, stopped)


def run_rounds(
    config: ExperimentConfig, pool: Pool, truth: np.ndarray, start: Fit, steps: Steps
) -> tuple[Fit, tuple[Round, ...], str]:
    """Return the last network, the rounds that led to it and why there was no further one."""
    rounds: list[Round] = []
    known = steps.pretext(config, pool, steps.watch) if pretext.wanted(config, pool) else None

    def vote(fit: Fit, before: PseudoLabels | None, number: int) -> Voted:
        return steps.pseudo_label(config, pool, fit, before, number, known if number == 1 else None)

    def retrain(voted: Voted, number: int) -> Fit:
        fit = steps.retrain(config, pool, voted.labels, steps.watch, number)
        shown = diagnostics.diagnose(voted.labels, pool.labelled, truth, len(pool.classes))
        seconds = voted.seconds | {"retrain": fit.seconds}
        rounds.append(Round(number, voted.features, voted.labels, fit, shown, seconds))
        return fit

    fit, stopped = alternate(start, vote, retrain, config.pseudo_labels.rounds)
    return fit, tuple(rounds), stopped


def alternate(
    start: M, vote: Callable[[M, PseudoLabels | None, int], Voted], retrain: Callable[[Voted, int], M], rounds: int
) -> tuple[M, str]:
    """Return the last model, whatever kind it is, and why there was no further round of voting and retraining."""
    model, before = start, None
    for number in range(1, rounds + 1):
        voted = vote(model, before, number)
        if not voted.labels.assigned:
            return model, f"round {number}: no pseudo-label reached the threshold"
        if before is not None and np.array_equal(voted.labels.classes, before.classes):
            return model, f"round {number}: no pseudo-label changed"
        model, before = retrain(voted, number), voted.labels
    return model, "all rounds done"


def label(config: ExperimentConfig, pool: Pool, steps: Steps) -> Labelling:
    """Return labels for all images of a pool: the rounds, then a last vote on the features of the last network."""
    pretrained = steps.pretrain(config, pool, steps.watch)
    fit, rounds, stopped = run_rounds(config, pool, pool.labels, pretrained, steps)
    before = rounds[-1].pseudo_labels if rounds else None
    vote = steps.pseudo_label(config, pool, fit, before, len(rounds) + 1)
    return Labelling(pretrained, rounds, fit, vote, stopped)


def all_right(truth: np.ndarray, pool: Pool) -> PseudoLabels:
    """Return the true labels as if they had been assigned: the oracle's ceiling."""
    return PseudoLabels(truth, truth, np.ones(len(truth)), np.where(pool.labelled, 0, 1))
