"""How good the pseudo-labels of a round are, once true labels are known."""

import numpy as np

from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.method.results import Diagnostics, PseudoLabels, Round, Voted
from kmpl.training.history import Fit
from kmpl.training.metrics import accuracy, class_shares, purity


def diagnose(labels: PseudoLabels, *, labelled: np.ndarray, true: np.ndarray, n_classes: int) -> Diagnostics:
    """Return what the true labels say about pseudo-labels. For people only: no decision may read it.

    Args:
        labels: of all N images.
        labelled: (N,) bool, where a label is given; those are not counted.
        true: (N,) true classes, −1 where nobody knows them; labels and clusters are judged by the others.
        n_classes: C.
    """
    with_truth = true != UNLABELLED
    assigned = labels.kept & ~labelled
    right = labels.guesses == true
    judged = assigned & with_truth
    clusters = labels.clusters if (with_truth & ~labelled).any() else None
    return Diagnostics(
        accuracy=accuracy(labels.classes[judged], true[judged]),
        coverage=float(assigned.sum() / max((~labelled).sum(), 1)),
        counts=tuple(np.bincount(labels.classes[assigned], minlength=n_classes).tolist()),
        class_accuracy=class_shares(right[judged], labels.classes[judged], n_classes),
        purity=purity(clusters.assignment[with_truth], true[with_truth]) if clusters else float("nan"),
        right=right[~labelled & with_truth],
        confidence=labels.confidence[~labelled & with_truth],
    )


def round_of(voted: Voted, fit: Fit, *, number: int, pool: Pool, truth: np.ndarray) -> Round:
    """Return the record of a round that ended in a retrained network, with what the true labels (N,) say about it."""
    return Round(
        number=number,
        features=voted.features,
        pseudo_labels=voted.labels,
        fit=fit,
        diagnostics=diagnose(voted.labels, labelled=pool.labelled, true=truth, n_classes=len(pool.classes)),
        seconds=voted.seconds | {"retrain": fit.seconds},
    )
