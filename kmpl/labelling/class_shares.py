"""Whether assigned labels are shared among the classes as the given ones are. Shapes: C classes."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import fisher_exact

_CHANCE = 0.001  # that any class at all is named by mistake, were given labels drawn at random


def contradicted(given: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """Return the classes whose share of the assigned labels cannot be that of the given ones, the largest excess first.

    Fisher's exact test of each class against all others, two-sided, at 0.001 divided by the number of classes.

    Args:
        given: (C,) labels given per class.
        assigned: (C,) images named so, of those that had no label.

    Source: Fisher 1922, "On the interpretation of χ² from contingency tables, and the calculation of P".

    >>> contradicted(np.array([9, 41]), np.array([579, 370])).tolist()
    [0, 1]
    >>> contradicted(np.array([5, 5]), np.array([30, 70])).tolist()
    []
    """
    n_given, n_assigned, n_classes = int(given.sum()), int(assigned.sum()), len(given)
    tables = [[[g, n_given - g], [a, n_assigned - a]] for g, a in zip(given.tolist(), assigned.tolist(), strict=True)]
    chance = np.array([fisher_exact(table).pvalue for table in tables])
    found = np.flatnonzero(chance < _CHANCE / n_classes)
    excess = assigned / max(n_assigned, 1) - given / max(n_given, 1)
    return found[np.argsort(-excess[found], kind="stable")]


def warning(names: Sequence[str], given: np.ndarray, assigned: np.ndarray) -> str:
    """Return in one line which class got far more of the images than of the given labels; empty where none did.

    >>> warning(["3", "4"], np.array([41, 9]), np.array([370, 579]))
    '579 of 949 were named 4; given: 9 of 50. Unless the given labels are no fair sample, many are wrong'
    """
    which = contradicted(given, assigned)
    if not len(which):
        return ""
    first = which[0]
    named = f"{assigned[first]:,} of {assigned.sum():,} were named {names[first]}"
    labelled = f"given: {given[first]:,} of {given.sum():,}"
    return f"{named}; {labelled}. Unless the given labels are no fair sample, many are wrong"
