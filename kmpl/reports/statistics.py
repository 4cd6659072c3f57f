"""Paired differences over the seeds, with confidence intervals."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from kmpl.reports.records import Frozen

_ROUNDING_ERROR = 1e-9  # of equal differences of fractions; one test image changes a fraction by far more


class Paired(Frozen):
    """A difference at one labelled ratio, paired by seed: after minus before."""

    ratio: float
    n: int
    """Seeds."""
    mean: float
    low: float | None
    """Lower end of the 95 % interval; None for a single seed."""
    high: float | None
    """Upper end."""
    p: float | None
    """p-value of a two-sided paired t-test; None for a single seed, or if all differences are equal."""


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the mean (Student's t); None, None for fewer than two values.

    >>> interval([0.5])
    (None, None)
    >>> [round(end, 3) for end in interval([0.90, 0.92, 0.94])]
    [0.87, 0.97]
    """
    if len(values) < 2:
        return None, None
    mean = float(np.mean(values))
    half_width = float(stats.sem(values)) * float(stats.t.ppf(0.975, len(values) - 1))
    return mean - half_width, mean + half_width


def at_least(accuracy: float, images: int) -> float:
    """Return the lower end of the 95 % interval of an accuracy on a number of images (Wilson's score interval).

    100 % on 100 images proves less than 98.5 % on 800:

    >>> at_least(1.0, 100) < at_least(0.985, 800)
    True
    """
    return float(stats.binomtest(round(accuracy * images), images).proportion_ci(method="wilson").low)


def paired(ratio: float, before: Sequence[float], after: Sequence[float]) -> Paired:
    """Return the paired difference ``after`` − ``before``; both have the same seeds in the same order."""
    differences = np.subtract(after, before)
    low, high = interval(differences.tolist())
    differ = len(differences) > 1 and float(np.ptp(differences)) > _ROUNDING_ERROR
    p = float(stats.ttest_rel(after, before).pvalue) if differ else None
    return Paired(ratio=ratio, n=len(differences), mean=float(differences.mean()), low=low, high=high, p=p)
