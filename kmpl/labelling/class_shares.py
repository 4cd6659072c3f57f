"""Test whether assigned labels have the same class shares as the given labels. Shapes: C classes."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import fisher_exact

_FALSE_ALARM_RATE = 0.001  # probability that a class is named by mistake if the given labels are a random sample


def mismatched_classes(given: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """Return the classes whose share of the assigned labels contradicts their share of the given ones.

    The class with the largest excess of assigned labels comes first. Each class is compared with all others by Fisher's
    exact test, two-sided, at 0.001 divided by the number of classes.

    Args:
        given: (C,) given labels per class.
        assigned: (C,) unlabelled images per class that the method put them into.

    Source: Fisher 1922, "On the interpretation of χ² from contingency tables, and the calculation of P".

    >>> mismatched_classes(np.array([9, 41]), np.array([579, 370])).tolist()
    [0, 1]
    >>> mismatched_classes(np.array([5, 5]), np.array([30, 70])).tolist()
    []
    """
    n_given = int(given.sum())
    n_assigned = int(assigned.sum())
    tables = [[[g, n_given - g], [a, n_assigned - a]] for g, a in zip(given.tolist(), assigned.tolist(), strict=True)]
    p = np.array([fisher_exact(table).pvalue for table in tables])
    mismatched = np.flatnonzero(p < _FALSE_ALARM_RATE / len(given))
    excess = assigned / max(n_assigned, 1) - given / max(n_given, 1)
    return mismatched[np.argsort(-excess[mismatched], kind="stable")]


def mismatch_warning(names: Sequence[str], given: np.ndarray, assigned: np.ndarray) -> str:
    """Return one line on the class with the largest excess of assigned labels; empty if the shares agree.

    >>> mismatch_warning(["3", "4"], np.array([41, 9]), np.array([370, 579]))
    '579 of 949 were named 4; given: 9 of 50. If the given labels are a fair sample, many are wrong'
    """
    mismatched = mismatched_classes(given, assigned)
    if not len(mismatched):
        return ""
    c = mismatched[0]
    share_assigned = f"{assigned[c]:,} of {assigned.sum():,} were named {names[c]}"
    share_given = f"given: {given[c]:,} of {given.sum():,}"
    return f"{share_assigned}; {share_given}. If the given labels are a fair sample, many are wrong"
