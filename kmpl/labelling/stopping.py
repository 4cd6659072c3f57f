"""When may one stop labelling? The accuracy that is expected with a quarter, half and three quarters of the labels."""

from collections.abc import Sequence

import numpy as np

from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.agreement import expected_accuracy
from kmpl.labelling.judges import grounds_of
from kmpl.runtime.seeds import derive

_SHARES = (0.25, 0.5, 0.75)
_FEWEST_PER_CLASS = 2.0
"""With fewer labels a class the promise itself is off by a tenth, and says nothing of a trend."""
_ORDERS = 3
"""Orders in which labels are taken away; the mean counts."""


def expected_by_labels(
    frozen: FrozenFeatures, labels: np.ndarray, *, n_classes: int, seed: int, in_all: float
) -> list[tuple[int, float]]:
    """Return numbers of labels, and the accuracy on the unlabelled images that judges with these promise.

    Each class keeps its share, and at least one label. Empty where labels are too few for a trend.

    Args:
        frozen: features of all N images.
        labels: (N,) classes, −1 = unlabelled.
        n_classes: C.
        seed: of the orders in which labels are taken away.
        in_all: accuracy that is expected with all labels; the others are moved with it.
    """
    n_labels = int((labels != UNLABELLED).sum())
    shares = [share for share in _SHARES if share * n_labels >= _FEWEST_PER_CLASS * n_classes]
    if not shares:
        return []
    rng = np.random.default_rng(derive(seed, "stopping"))
    promised = np.zeros(len(shares))
    numbers = np.zeros(len(shares))
    for _ in range(_ORDERS):
        orders = [rng.permutation(np.flatnonzero(labels == c)) for c in range(n_classes)]
        for place, share in enumerate(shares):
            kept = np.concatenate([order[: max(1, round(share * len(order)))] for order in orders if len(order)])
            promised[place] += _promise(frozen, labels, kept, n_classes, seed=seed, redraws=1) / _ORDERS
            numbers[place] += len(kept) / _ORDERS
    everything = np.flatnonzero(labels != UNLABELLED)
    moved = promised + in_all - _promise(frozen, labels, everything, n_classes, seed=seed, redraws=_ORDERS)
    curve = [(round(n), float(np.clip(share, 0, 1))) for n, share in zip(numbers, moved, strict=True)]
    return [*curve, (n_labels, in_all)]


def _promise(
    frozen: FrozenFeatures, labels: np.ndarray, kept: np.ndarray, n_classes: int, *, seed: int, redraws: int
) -> float:
    """Return the accuracy on the images without a label that judges promise who know the labels of ``kept``."""
    fewer = np.full(len(labels), UNLABELLED)
    fewer[kept] = labels[kept]
    return expected_accuracy(grounds_of(frozen, fewer, n_classes=n_classes, seed=seed, redraws=redraws), n_classes)


def curve_line(curve: Sequence[tuple[int, float]]) -> str:
    """Return the curve in one sentence.

    >>> curve_line([(10, 0.5), (20, 0.61)])
    'By labels given so far, expected right of all: 10: 50 %, 20: 61 %'
    """
    points = ", ".join(f"{n:,}: {100 * share:.0f} %" for n, share in curve)
    return f"By labels given so far, expected right of all: {points}"
