"""How likely each label is right, and the confidence from which on enough are, learnt from labels that were hidden.

Shapes: V hidden labels, U unlabelled images.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Hidden:
    """What became of given labels that were hidden in turn."""

    ranks: np.ndarray
    """(V,) share of the images without a label that were less certain, in (0, 1)."""
    right: np.ndarray
    """(V,) bool: was the label found again."""
    singles: int = 0
    """Labels that could not be hidden, because their class has no other."""


@dataclass(frozen=True)
class Chosen:
    """A threshold, and why it is that."""

    threshold: float
    """Above 1 where no confidence is enough."""
    said: str
    """In one line, for people."""
    demanded: float | None = None
    """Share of the assigned labels that should be right."""
    expected: float = math.nan
    """Share of them that is expected to be right; NaN where nothing was checked, or nothing assigned."""
    tested: int = 0
    """Labels that were hidden to learn that."""
    found_again: int = 0
    whole: float = math.nan
    """Share of all unlabelled images whose most likely class is expected to be right; NaN where nothing was checked."""


def as_given(threshold: float) -> Chosen:
    """Return a threshold that was given, and that nothing checks."""
    return Chosen(threshold, f"Threshold {threshold:g} as set; nothing checks the result")


def ranks(confidence: np.ndarray) -> np.ndarray:
    """Return the share of images that are less certain than each, in (0, 1); ties share theirs.

    >>> ranks(np.array([0.9, 0.2, 0.99]))
    array([0.5 , 0.25, 0.75])
    """
    return rankdata(confidence) / (len(confidence) + 1)


def chances(hidden: Hidden, asked: np.ndarray) -> np.ndarray:
    """Return how likely the label of an image of each rank is right, learnt from hidden labels.

    A logistic curve over the rank of confidence among all images: ranks, because networks that are trained on few
    images are far too sure of all they say, but know well what they are less sure of. One hit is added, spread evenly
    over the ranks, and one miss, spread as misses usually are, over the lower ranks (density 3 (1 − rank)²): labels
    that were all found again do not prove that none ever is not. One more miss is added for each label that is the only
    one of its class: as many classes of one label as there are, so many images are of classes that have none (Good's
    estimate), and those are all misses.

    Args:
        hidden: the hidden labels, at least one.
        asked: (U,) ranks.

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
    if model.coef_[0, 0] < 0:  # confidence says nothing: the same chance for all
        return np.full(len(asked), (hidden.right.sum() + 1) / (n + 2 + hidden.singles))
    return model.predict_proba(asked[:, None])[:, 1]


def as_set(threshold: float, hidden: Hidden, chance: np.ndarray) -> Chosen:
    """Return a threshold that was given, with what is expected of the labels above it.

    Args:
        threshold: in [0, 1].
        hidden: the hidden labels.
        chance: (U,) of the unlabelled images' labels.
    """
    if not len(hidden.right):
        said = f"Threshold {threshold:g} as set; no class has two labels, so nothing checks the result"
        return Chosen(threshold, said)
    above, of_all = chance[chance >= threshold], f"none is above it; {_mean(chance):.1%} of all are"
    expected = f"{_mean(above):.1%} of the labels above it are" if len(above) else of_all
    said = f"Threshold {threshold:g} as set: {expected} expected to be right ({_again(hidden)})"
    return _about(Chosen(threshold, said, expected=_mean(above)), hidden, chance)


def by_cross_fitting(demanded: float, hidden: Hidden, chance: np.ndarray, least: float = 0.0) -> Chosen:
    """Return the smallest threshold above which the share of right labels is expected to be what is demanded.

    Args:
        demanded: in (0.5, 1).
        hidden: the hidden labels.
        chance: (U,) of the unlabelled images' labels, as ``chances`` gives it.
        least: the threshold is no smaller.
    """
    tested = len(hidden.right)
    if tested < 2:
        said = "No class has two labels, so none could be hidden: nothing is known of accuracy, and no label assigned"
        return Chosen(2.0, said, demanded, tested=tested, found_again=int(hidden.right.sum()))
    falling = np.sort(chance)[::-1]
    expected = np.cumsum(falling) / np.arange(1, len(falling) + 1)
    whole = np.append(falling[1:] < falling[:-1], True)  # a threshold cannot tell equals apart
    enough = np.flatnonzero((expected >= demanded) & (falling >= least) & whole)
    if not len(enough):
        of_all = f"{_again(hidden)}, {_mean(chance):.1%} of all are expected to be right"
        said = f"{demanded:.1%} cannot be expected at any confidence, so no label is assigned: {of_all}"
        return _about(Chosen(2.0, said, demanded), hidden, chance)
    last = int(enough[-1])
    one_in = 1 / (1 - demanded)
    short = (
        f"; too few to count one error in {one_in:.0f}: the trend over confidence decides" if tested < one_in else ""
    )
    said = f"Threshold {_shown(falling[last])}: {expected[last]:.1%} expected to be right ({_again(hidden)}{short})"
    return _about(Chosen(float(falling[last]), said, demanded, float(expected[last])), hidden, chance)


def _about(chosen: Chosen, hidden: Hidden, chance: np.ndarray) -> Chosen:
    tested, hits = len(hidden.right), int(hidden.right.sum())
    return replace(chosen, tested=tested, found_again=hits, whole=_mean(chance))


def _again(hidden: Hidden) -> str:
    alone = f", {hidden.singles} are the only ones of their class and count as misses" if hidden.singles else ""
    return f"{int(hidden.right.sum())} of {len(hidden.right)} hidden labels were found again{alone}"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _shown(threshold: float) -> str:
    """Return a threshold with as many digits as it takes to tell it from 1."""
    digits = 3 if threshold <= 0.995 else min(7, 1 - math.floor(math.log10(max(1 - threshold, 1e-6))))
    return f"{threshold:.{digits}f}"
