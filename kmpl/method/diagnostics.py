"""How good the pseudo-labels of a round are, once true labels are known."""

import numpy as np

from kmpl.datasets.types import LEFT_OUT, Pool
from kmpl.method.results import Diagnostics, PseudoLabels, Round, Voted
from kmpl.training.history import Fit
from kmpl.training.metrics import accuracy, class_shares, purity


def diagnose(labels: PseudoLabels, *, given: np.ndarray, true: np.ndarray, n_classes: int) -> Diagnostics:
    """Return what the true labels say about pseudo-labels. For people only: no decision may read it.

    Args:
        labels: of all N images.
        given: (N,) bool, where the label was given; those are not counted.
        true: (N,) true classes, −1 where nobody knows; what is said of labels and clusters is said of the known ones.
        n_classes: C.
    """
    known = true != LEFT_OUT
    assigned = labels.kept & ~given
    right = labels.guesses == true
    judged = assigned & known
    told = labels.clusters is not None and bool((known & ~given).any())
    return Diagnostics(
        accuracy=accuracy(labels.classes[judged], true[judged]),
        coverage=float(assigned.sum() / max((~given).sum(), 1)),
        counts=tuple(np.bincount(labels.classes[assigned], minlength=n_classes).tolist()),
        class_accuracy=class_shares(right[judged], labels.classes[judged], n_classes),
        purity=purity(labels.clusters.assignment[known], true[known]) if labels.clusters and told else float("nan"),
        right=right[~given & known],
        confidence=labels.confidence[~given & known],
    )


def round_of(voted: Voted, fit: Fit, *, number: int, pool: Pool, truth: np.ndarray) -> Round:
    """Return the record of a round that ended in a retrained network, with what the true labels (N,) say about it."""
    return Round(
        number=number,
        features=voted.features,
        pseudo_labels=voted.labels,
        fit=fit,
        diagnostics=diagnose(voted.labels, given=pool.labelled, true=truth, n_classes=len(pool.classes)),
        seconds=voted.seconds | {"retrain": fit.seconds},
    )
