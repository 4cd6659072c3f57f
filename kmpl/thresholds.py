"""The confidence from which on labels are right as often as is asked for, learnt from labels that were hidden.

Shapes: V hidden labels, U unlabelled images.
"""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

_EDGE = 1e-4  # confidences nearer to 0 and 1 than that are not told apart


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
    return Chosen(threshold, f"threshold {threshold:g} as set")


def chances(confidence: np.ndarray, right: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return how likely a guess of each confidence ``asked`` (U,) is right, learnt from hidden labels.

    A logistic curve over the log-odds of confidence, as few labels can bear no more. One hit and one miss are added,
    spread evenly over all confidences that were seen (Laplace's rule of succession): labels that were all found again
    do not prove that none ever is not.

    Args:
        confidence: (V,) of the hidden ones, in [0, 1].
        right: (V,) bool, was the label found again.
        asked: (U,) in [0, 1].

    Source: Platt 1999, "Probabilistic outputs for support vector machines", whose targets are smoothed likewise.
    """
    n = len(confidence)
    seen = np.tile(_odds(confidence), 3)[:, None]
    outcome = np.concatenate([right.astype(int), np.ones(n, dtype=int), np.zeros(n, dtype=int)])
    weights = np.concatenate([np.ones(n), np.full(2 * n, 1 / n)])
    with threadpool_limits(1):
        model = LogisticRegression(C=1e4, max_iter=1_000).fit(seen, outcome, weights)
    if model.coef_[0, 0] < 0:  # confidence says nothing: the same chance for all
        return np.full(len(asked), (right.sum() + 1) / (n + 2))
    return model.predict_proba(_odds(asked)[:, None])[:, 1]


def _odds(confidence: np.ndarray) -> np.ndarray:
    inside = np.clip(confidence, _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))


def by_cross_fitting(demanded: float, confidence: np.ndarray, right: np.ndarray, asked: np.ndarray) -> Chosen:
    """Return the smallest threshold above which the share of right labels is expected to be what is demanded.

    Args:
        demanded: in (0.5, 1).
        confidence: (V,) of hidden labels' guesses.
        right: (V,) bool.
        asked: (U,) confidence of the unlabelled images' guesses.
    """
    tested, hits = len(right), int(right.sum())
    if tested < 2:
        said = "no class has two labels, so none could be hidden: nothing is known of accuracy, and no label assigned"
        return Chosen(2.0, said, demanded, math.nan, tested, hits)
    falling = np.sort(asked)[::-1]
    expected = np.cumsum(chances(confidence, right, falling)) / np.arange(1, len(falling) + 1)
    enough = np.flatnonzero(expected >= demanded)
    hid = f"{hits} of {tested} hidden labels were found again"
    if not len(enough):
        return Chosen(2.0, f"{demanded:.1%} cannot be expected at any confidence: {hid}", demanded, math.nan, tested, hits)
    last = int(enough[-1])
    few = 1 / (1 - demanded)
    short = f"; {tested} are too few to count one error in {few:.0f}, so the trend of confidence decides"
    said = f"threshold {falling[last]:.3f}: {expected[last]:.1%} expected to be right ({hid}{short * (tested < few)})"
    return Chosen(float(falling[last]), said, demanded, float(expected[last]), tested, hits)
