"""The confidence threshold for assigned labels, and the accuracy above it, estimated from hidden labels.

Shapes: V hidden labels, U unlabelled images.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from kmpl.labelling.guarantee import guaranteed_threshold, least_labels

_SUREST_LABELS = 10
"""Labels, at least, of which it is said what could be demanded of the surest."""


@dataclass(frozen=True, slots=True)
class HiddenLabels:
    """Given labels that cross-fitting hid in turn, and whether the method found them again."""

    ranks: np.ndarray
    """(V,) share of the unlabelled images that were less certain than this one, in (0, 1)."""
    right: np.ndarray
    """(V,) bool: the method found the label again."""
    singles: int = 0
    """Labels that could not be hidden, because each is the only one of its class."""
    confidence: np.ndarray | None = None
    """(V,) calibrated confidence of each, as the unlabelled images have it; None before calibration."""
    stability: float | None = None
    """Share of the unlabelled images that get the same label from other examples; None without frozen features."""
    caution: float = 0.0
    """Log-odds that a promise stays below the confidence, whose level is an estimate."""

    @property
    def is_evidence(self) -> bool:
        """False if nothing says how accurate labels are."""
        return len(self.right) > 1 or self.stability is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdChoice:
    """A confidence threshold, the reason for it, and the accuracy that it promises."""

    threshold: float | None
    """Least confidence of an assigned label; None where no confidence is enough, and no label is assigned."""
    message: str
    """The choice and its reason in one line, for people."""
    target_accuracy: float | None = None
    """Share of the assigned labels that the user wants right; None if the user set the threshold instead."""
    expected_accuracy: float = math.nan
    """Expected share of right labels among the assigned ones; NaN if nothing was checked or nothing assigned."""
    n_hidden: int = 0
    """V: labels that were hidden to estimate the accuracy."""
    n_found_again: int = 0
    """Hidden labels that the method found again."""
    expected_accuracy_of_all: float = math.nan
    """Expected share of unlabelled images whose most likely class is right; NaN if nothing was checked."""
    is_checked: bool = False
    """Confidence is the probability of being right, by hidden labels or by judges (``kmpl.labelling.judges``)."""


def unchecked_threshold(threshold: float) -> ThresholdChoice:
    """Return a threshold that the user set, without any estimate of accuracy."""
    return ThresholdChoice(threshold=threshold, message=f"Threshold {threshold:g} as set; nothing checks the result")


def confidence_ranks(confidence: np.ndarray) -> np.ndarray:
    """Return for each image the share of images that are less certain, in (0, 1); ties share a rank.

    >>> confidence_ranks(np.array([0.9, 0.2, 0.99]))
    array([0.5 , 0.25, 0.75])
    """
    return rankdata(confidence) / (len(confidence) + 1)


def calibrated_confidence(hidden: HiddenLabels, ranks: np.ndarray) -> np.ndarray:
    """Return the probability that the label of an image is right, by its rank of confidence, (U,) in [0, 1].

    A logistic curve over the rank is fitted to the hidden labels. Ranks are used because a network trained on few
    images is far too confident, but orders its predictions well. Three corrections keep few labels from promising too
    much:

    - One hit is added, spread evenly over the ranks.
    - One miss is added, spread as misses usually are, over the lower ranks (density 3 (1 − rank)²): hidden labels that
      were all found again do not prove perfection.
    - One more miss is added for each label that is the only one of its class. By Good's estimate, as many images belong
      to classes without any label as there are classes with one label, and all those images are misses.

    Args:
        hidden: at least one hidden label.
        ranks: (U,) ranks of the unlabelled images.

    Sources: Platt 1999, "Probabilistic outputs for support vector machines", whose targets are smoothed for the same
    reason; Good 1953, "The population frequencies of species and the estimation of population parameters".
    """
    n = len(hidden.ranks)
    even = (np.arange(n) + 0.5) / n
    points = np.concatenate([hidden.ranks, even, even])[:, None]
    outcome = np.concatenate([hidden.right.astype(int), np.ones(n, dtype=int), np.zeros(n, dtype=int)])
    misses = (1 + hidden.singles) * 3 * (1 - even) ** 2 / n
    weights = np.concatenate([np.ones(n), np.full(n, 1 / n), misses])
    with threadpool_limits(1):
        model = LogisticRegression(C=1e4, max_iter=1_000).fit(points, outcome, weights)
    if model.coef_[0, 0] < 0:  # confidence is no guide to accuracy: all images get the same probability
        return np.full(len(ranks), (hidden.right.sum() + 1) / (n + 2 + hidden.singles))
    return model.predict_proba(ranks[:, None])[:, 1]


def user_threshold(threshold: float, hidden: HiddenLabels, confidence: np.ndarray) -> ThresholdChoice:
    """Return a threshold that the user set, with the accuracy that is expected above it.

    Args:
        threshold: in [0, 1].
        hidden: the hidden labels.
        confidence: (U,) calibrated confidence of the unlabelled images.
    """
    if not hidden.is_evidence:
        message = f"Threshold {threshold:g} as set; no class has two labels, so nothing checks the result"
        return ThresholdChoice(threshold=threshold, message=message)
    above = confidence[confidence >= threshold]
    if len(above):
        estimate = f"{_mean(above):.1%} of the labels above it are"
    else:
        estimate = f"none is above it; {_mean(confidence):.1%} of all are"
    message = f"Threshold {threshold:g} as set: {estimate} expected to be right ({_evidence(hidden)})"
    choice = ThresholdChoice(threshold=threshold, message=message, expected_accuracy=_mean(above))
    return _with_evidence(choice, hidden, confidence)


def smallest_threshold(
    target_accuracy: float, hidden: HiddenLabels, confidence: np.ndarray, *, minimum: float = 0.0
) -> ThresholdChoice:
    """Return the smallest threshold above which the expected accuracy reaches the target.

    Args:
        target_accuracy: in (0.5, 1).
        hidden: the hidden labels.
        confidence: (U,) calibrated confidence of the unlabelled images.
        minimum: the threshold is no smaller.
    """
    n_hidden = len(hidden.right)
    if not hidden.is_evidence:
        message = "No class has two labels, so accuracy cannot be estimated; no label was assigned"
        choice = ThresholdChoice(threshold=None, message=message, target_accuracy=target_accuracy)
        return replace(choice, n_hidden=n_hidden, n_found_again=int(hidden.right.sum()))
    falling = np.sort(confidence)[::-1]
    promised = expit(logit(falling) - hidden.caution) if hidden.caution else falling
    expected = np.cumsum(promised) / np.arange(1, len(falling) + 1)
    last_of_equals = np.append(falling[1:] < falling[:-1], True)  # a threshold cannot tell equals apart
    possible = np.flatnonzero((expected >= target_accuracy) & (falling >= minimum) & last_of_equals)
    if not len(possible):
        surest = max(1, min(len(falling), max(_SUREST_LABELS, len(falling) // 20)))
        of_all = f"{_evidence(hidden)}, {_mean(confidence):.1%} of all are expected to be right"
        of_all += f", {expected[surest - 1]:.1%} of the surest {surest}"
        message = f"{target_accuracy:.1%} cannot be expected at any confidence, so no label is assigned: {of_all}"
        choice = ThresholdChoice(threshold=None, message=message, target_accuracy=target_accuracy)
        return _with_evidence(choice, hidden, confidence)
    threshold = float(falling[possible[-1]])
    accuracy = float(expected[possible[-1]])
    one_in = 1 / (1 - target_accuracy)
    caution = ""
    if n_hidden < one_in and hidden.stability is None:
        caution = f"; too few to count one error in {one_in:.0f}: the trend over confidence decides"
    message = f"Threshold {_digits(threshold)}: {accuracy:.1%} expected to be right ({_evidence(hidden)}{caution})"
    choice = ThresholdChoice(
        threshold=threshold, message=message, target_accuracy=target_accuracy, expected_accuracy=accuracy
    )
    return _with_evidence(choice, hidden, confidence)


def guaranteed_choice(
    guarantee: float, at_risk: float, hidden: HiddenLabels, confidence: np.ndarray
) -> ThresholdChoice:
    """Return the smallest threshold above which a share of right labels is guaranteed.

    Args:
        guarantee: share of right labels.
        at_risk: probability that fewer are right.
        hidden: the hidden labels, with calibrated confidence.
        confidence: (U,) calibrated confidence of the unlabelled images.
    """
    if not len(hidden.right):
        message = "No class has two labels, so none can be hidden and nothing can be guaranteed; no label was assigned"
        return ThresholdChoice(threshold=None, message=message, target_accuracy=guarantee)
    assert hidden.confidence is not None, "the hidden labels are calibrated"
    threshold = guaranteed_threshold(
        hidden.confidence,
        hidden.right,
        confidence,
        guarantee=guarantee,
        at_risk=at_risk,
        singles=hidden.singles,
    )
    promise = f"{guarantee:.1%} right, with a probability of {1 - at_risk:.1%}"
    if threshold is None:
        n = least_labels(guarantee, at_risk)
        too_few = f"that takes about {n} hidden labels, nearly all of them found again"
        why = too_few if len(hidden.right) < n else "too many of the surest hidden labels were not found again"
        message = (
            f"{promise}, cannot be guaranteed at any confidence, so no label is assigned: {_evidence(hidden)}; {why}"
        )
        return _with_evidence(
            ThresholdChoice(threshold=None, message=message, target_accuracy=guarantee), hidden, confidence
        )
    above = confidence[confidence >= threshold]
    message = (
        f"Threshold {_digits(threshold)}: at least {promise}, if the given labels are a random sample of the images "
        f"({_evidence(hidden)})"
    )
    choice = ThresholdChoice(
        threshold=threshold, message=message, target_accuracy=guarantee, expected_accuracy=_mean(above)
    )
    return _with_evidence(choice, hidden, confidence)


def _with_evidence(choice: ThresholdChoice, hidden: HiddenLabels, confidence: np.ndarray) -> ThresholdChoice:
    return replace(
        choice,
        n_hidden=len(hidden.right),
        n_found_again=int(hidden.right.sum()),
        expected_accuracy_of_all=_mean(confidence),
        is_checked=True,
    )


def _evidence(hidden: HiddenLabels) -> str:
    if hidden.stability is not None:
        found = f", {int(hidden.right.sum())} of {len(hidden.right)} hidden labels were found again"
        return f"other examples name {hidden.stability:.0%} of the images alike{found if len(hidden.right) else ''}"
    singles = ""
    if hidden.singles:
        singles = f"; {hidden.singles} more, each the only one of its class, could not be hidden and count as misses"
    return f"{int(hidden.right.sum())} of {len(hidden.right)} hidden labels were found again{singles}"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _digits(threshold: float) -> str:
    """Return a threshold with as many digits as it takes to tell it from 1."""
    digits = 3 if threshold <= 0.995 else min(7, 1 - math.floor(math.log10(max(1 - threshold, 1e-6))))
    return f"{threshold:.{digits}f}"
