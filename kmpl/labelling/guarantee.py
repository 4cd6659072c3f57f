"""A guarantee for the labels that are written: with high probability at least a given share of them is right.

Hidden labels are tested from the most confident on. Suppose that more of the images above a confidence are wrong than
the guarantee allows: how probable is it that so few of the hidden labels above it are? As long as that is improbable,
the threshold falls; at the first where it is not, it stops. So the probability that the written labels break the
guarantee is at most ``at_risk``, whatever the confidence is worth. It holds if the given labels are a random sample of
the images: those of ``kmpl suggest`` are not.

Shapes: V hidden labels, U unlabelled images.

Sources: Angelopoulos et al. 2021, "Learn then test", https://arxiv.org/abs/2110.01052 (fixed sequence testing). The
test is Fisher's: hidden labels and images are drawn from the same, so misses fall among them like balls from an urn.
"""

import math

import numpy as np
from scipy.stats import hypergeom


def guaranteed_threshold(
    hidden: np.ndarray, right: np.ndarray, confidence: np.ndarray, *, guarantee: float, at_risk: float, singles: int = 0
) -> float | None:
    """Return the least confidence above which the guarantee holds; None where it holds above none.

    Args:
        hidden: (V,) confidence of the hidden labels.
        right: (V,) bool, the label was found again.
        confidence: (U,) of the unlabelled images.
        guarantee: share of right labels, in (0, 1).
        at_risk: probability that it is broken, in (0, 1).
        singles: labels that could not be hidden, each the only one of its class. They count as misses above every
            threshold: without them the hidden labels are no random sample.

    >>> confidence = np.linspace(0.99, 0.5, 50)
    >>> guaranteed_threshold(confidence, confidence > 0.6, confidence, guarantee=0.8, at_risk=0.1)
    0.58
    >>> guaranteed_threshold(confidence[:9], confidence[:9] > 0, confidence, guarantee=0.9, at_risk=0.1) is None
    True
    """
    order = np.argsort(-hidden, kind="stable")
    falling = hidden[order]
    misses = np.cumsum(~right[order])
    threshold = None
    for n in range(1, len(order) + 1):
        if n < len(order) and falling[n] == falling[n - 1]:
            continue  # a threshold cannot tell equals apart
        k = n + singles
        written = int((confidence >= falling[n - 1]).sum())
        broken = math.floor((1 - guarantee) * written + 1e-9) + 1  # misses among them that break the guarantee
        if not written or hypergeom.cdf(singles, k + written, singles + broken, k) > at_risk:
            continue  # too few hidden labels to prove it, whatever they say
        m = singles + int(misses[n - 1])
        if hypergeom.cdf(m, k + written, m + broken, k) > at_risk:
            break
        threshold = float(falling[n - 1])
    return threshold


def least_labels(guarantee: float, at_risk: float) -> int:
    """Return how many hidden labels, all found again, it takes for many images; for few it takes somewhat fewer.

    >>> least_labels(0.9, 0.1), least_labels(0.95, 0.1), least_labels(0.8, 0.1)
    (22, 45, 11)
    """
    return math.ceil(math.log(at_risk) / math.log(guarantee))
