"""The confidence from which on labels are right as often as is asked for, learnt from labels that were hidden.

Shapes: V hidden labels, U unlabelled images.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits


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
    """Share of them that is expected to be right; NaN where nothing was asked for."""
    tested: int = 0
    """Labels that were hidden to learn that."""
    found_again: int = 0


def as_given(threshold: float) -> Chosen:
    """Return a threshold that was given."""
    return Chosen(threshold, f"Threshold {threshold:g} as set")


def ranks(confidence: np.ndarray) -> np.ndarray:
    """Return the share of images that are less certain than each, in (0, 1); ties share theirs.

    >>> ranks(np.array([0.9, 0.2, 0.99]))
    array([0.5 , 0.25, 0.75])
    """
    return rankdata(confidence) / (len(confidence) + 1)


def chances(seen: np.ndarray, right: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return how likely the label of an image of each rank is right, learnt from hidden labels.

    A logistic curve over the rank of confidence among all images: ranks, because networks that are trained on few
    images are far too sure of all they say, but know well what they are less sure of. One hit is added, spread evenly
    over the ranks, and one miss, spread as misses usually are, over the lower ranks (density 3 (1 − rank)²): labels
    that were all found again do not prove that none ever is not.

    Args:
        seen: (V,) ranks of the hidden labels, in (0, 1).
        right: (V,) bool, was the label found again.
        asked: (U,) ranks.

    Source: Platt 1999, "Probabilistic outputs for support vector machines", whose targets are smoothed for the same
    reason.
    """
    n = len(seen)
    even = (np.arange(n) + 0.5) / n
    points = np.concatenate([seen, even, even])[:, None]
    outcome = np.concatenate([right.astype(int), np.ones(n, dtype=int), np.zeros(n, dtype=int)])
    weights = np.concatenate([np.ones(n), np.full(n, 1 / n), 3 * (1 - even) ** 2 / n])
    with threadpool_limits(1):
        model = LogisticRegression(C=1e4, max_iter=1_000).fit(points, outcome, weights)
    if model.coef_[0, 0] < 0:  # confidence says nothing: the same chance for all
        return np.full(len(asked), (right.sum() + 1) / (n + 2))
    return model.predict_proba(asked[:, None])[:, 1]


def by_cross_fitting(demanded: float, seen: np.ndarray, right: np.ndarray, confidence: np.ndarray) -> Chosen:
    """Return the smallest threshold above which the share of right labels is expected to be what is demanded.

    Args:
        demanded: in (0.5, 1).
        seen: (V,) ranks of hidden labels.
        right: (V,) bool, were they found again.
        confidence: (U,) of the unlabelled images' labels.
    """
    tested, hits = len(right), int(right.sum())
    if tested < 2:
        said = "No class has two labels, so none could be hidden: nothing is known of accuracy, and no label assigned"
        return Chosen(2.0, said, demanded, math.nan, tested, hits)
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    expected = np.cumsum(chances(seen, right, ranks(confidence)[order])) / np.arange(1, len(falling) + 1)
    whole = np.append(falling[1:] < falling[:-1], True)  # a threshold cannot tell equals apart
    enough = np.flatnonzero((expected >= demanded) & whole)
    hid = f"{hits} of {tested} hidden labels were found again"
    if not len(enough):
        said = f"{demanded:.1%} cannot be expected at any confidence, so no label is assigned: {hid}"
        return Chosen(2.0, said, demanded, math.nan, tested, hits)
    last = int(enough[-1])
    one_in = 1 / (1 - demanded)
    short = (
        f"; too few to count one error in {one_in:.0f}: the trend over confidence decides" if tested < one_in else ""
    )
    said = f"Threshold {_shown(falling[last])}: {expected[last]:.1%} expected to be right ({hid}{short})"
    return Chosen(float(falling[last]), said, demanded, float(expected[last]), tested, hits)


def _shown(threshold: float) -> str:
    """Return a threshold with as many digits as it takes to tell it from 1."""
    digits = 3 if threshold <= 0.995 else min(7, 1 - math.floor(math.log10(max(1 - threshold, 1e-6))))
    return f"{threshold:.{digits}f}"
