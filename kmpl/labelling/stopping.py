"""When may one stop labelling? The accuracy that is expected with a quarter, half and three quarters of the labels."""

from collections.abc import Sequence

import numpy as np

from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.agreement import agreement_of, expected_accuracy
from kmpl.runtime.seeds import derive

_SHARES = (0.25, 0.5, 0.75, 1.0)


def expected_by_labels(
    frozen: FrozenFeatures, labels: np.ndarray, *, n_classes: int, seed: int
) -> list[tuple[int, float]]:
    """Return numbers of labels, and the accuracy on the unlabelled images that judges with these promise.

    Each class keeps its share, and at least one label; fewer labels are among the more.

    Args:
        frozen: features of all N images.
        labels: (N,) classes, −1 = unlabelled.
        n_classes: C.
        seed: of the order in which labels are taken away.
    """
    rng = np.random.default_rng(derive(seed, "stopping"))
    orders = [rng.permutation(np.flatnonzero(labels == c)) for c in range(n_classes)]
    rest = labels == UNLABELLED
    curve: dict[int, float] = {}
    for share in _SHARES:
        kept = np.concatenate([order[: max(1, round(share * len(order)))] for order in orders if len(order)])
        fewer = np.full(len(labels), UNLABELLED)
        fewer[kept] = labels[kept]
        agree = agreement_of(frozen, fewer, n_classes=n_classes)[rest]
        curve[len(kept)] = expected_accuracy(agree, fewer[kept], n_classes)
    return list(curve.items())


def curve_line(curve: Sequence[tuple[int, float]]) -> str:
    """Return the curve in one sentence.

    >>> curve_line([(10, 0.5), (20, 0.61)])
    'By labels given so far, expected right of all: 10: 50 %, 20: 61 %'
    """
    points = ", ".join(f"{n:,}: {100 * share:.0f} %" for n, share in curve)
    return f"By labels given so far, expected right of all: {points}"
