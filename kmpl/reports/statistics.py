"""Paired differences over the seeds, with their confidence intervals."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

_ROUNDING = 1e-9  # equal differences of fractions differ in their last bits; one test image more or less is far above


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Paired(Frozen):
    """A difference at one labelled ratio, seed by seed: after minus before."""

    ratio: float
    n: int
    mean: float
    low: float | None
    """Lower end of the 95 % interval; None for a single seed."""
    high: float | None
    p: float | None
    """Of a two-sided paired t-test; None for a single seed, or where all differences are equal."""


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the mean (Student's t); None, None for fewer than two values.

    >>> interval([0.5])
    (None, None)
    >>> [round(end, 3) for end in interval([0.90, 0.92, 0.94])]
    [0.87, 0.97]
    """
    if len(values) < 2:
        return None, None
    middle, error = float(np.mean(values)), float(stats.sem(values))
    half = error * float(stats.t.ppf(0.975, len(values) - 1))
    return middle - half, middle + half


def at_least(accuracy: float, images: int) -> float:
    """Return the lower end of the 95 % interval of an accuracy measured on so many images (Wilson's score interval).

    All of 100 images right says less than 98.5 % of 800:

    >>> at_least(1.0, 100) < at_least(0.985, 800)
    True
    """
    return float(stats.binomtest(round(accuracy * images), images).proportion_ci(method="wilson").low)


def paired(ratio: float, before: Sequence[float], after: Sequence[float]) -> Paired:
    """Return what ``after`` − ``before`` is worth, value by value; the same seeds in the same order."""
    differences = np.subtract(after, before)
    low, high = interval(differences.tolist())
    spread = len(differences) > 1 and float(np.ptp(differences)) > _ROUNDING
    p = float(stats.ttest_rel(after, before).pvalue) if spread else None
    return Paired(ratio=ratio, n=len(differences), mean=float(differences.mean()), low=low, high=high, p=p)
