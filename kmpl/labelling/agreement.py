"""How many labels on frozen features will be right: by what three judges say, and by the hidden labels.

What judges say (``kmpl.labelling.judges``) needs no hidden label, knows of images that are like none of the labelled
ones, and counts classes as often as they come; hidden labels do neither, but they are the truth. Both decide together.
How much support and stability are worth was learnt on seven sets of pictures whose labels are known
(docs/log/attempts-pictures.md): on a set of another kind it may be off by a tenth. Shapes: V hidden labels, U
unlabelled images.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit, softmax

from kmpl.datasets.types import Pool
from kmpl.labelling.judges import Grounds, Judgement
from kmpl.method.results import Labelling
from kmpl.models.frozen_network import FrozenNetwork

_OF_SUPPORT, _OF_STABILITY, _AT_EVEN = 0.8, 0.57, -0.06
"""Log-odds of a label to be right for each unit of log-odds of the grounds, and where both are even."""
_SLOPE, _SLOPE_OF_STABILITY = 1.24, 0.33
"""Log-odds of being right for each unit of log-odds that the judges give a class; more where labels are stable."""
_SLOPE_DEVIATION = 0.3
_LEVEL_DEVIATION = 0.3
"""Log-odds by which the accuracy that judges promise is off, as standard deviation."""
_WEIGHT_OF_HIDDEN = 0.25
"""Hidden labels err together, as near-duplicates and hard classes do: four of them say as much as one."""
_AT_FOLDS, _LESS_AT_FOLDS, _MOST_LABELS = 0.35, 1.7, 20
"""Log-odds by which hidden labels are right more often than their judges say, who know fewer labels and are less sure
than they might be; and how much less where a class has few labels, and hiding one takes half of what is known of it."""
_LEVEL_DEVIATION_CONTRADICTED = 2.0  # where hidden labels say plainly that the judges agree on what is wrong
_SURPRISE = 3.0  # standard deviations of hits, from which on it is plain
CAUTION, CAUTION_WITHOUT_HIDDEN = 0.25, 0.6
"""Log-odds that a promise stays below the confidence: nine of ten are kept then."""
_WIDEST = 5.0  # logarithm of the temperature, at most


def expected_accuracy(grounds: Grounds, n_classes: int) -> float:
    """Return the accuracy on unlabelled images that judges promise, before any label was hidden.

    >>> round(expected_accuracy(Grounds(support=0.5, stability=0.8), 4), 3)
    0.675
    """
    promised = expit(_OF_SUPPORT * _log_odds(grounds.support) + _OF_STABILITY * _log_odds(grounds.stability) + _AT_EVEN)
    by_chance = 1.5 / max(n_classes, 2)
    return float(np.clip(promised, min(by_chance, 0.5), 0.995))


def _log_odds(share: float) -> float:
    return float(logit(np.clip(share, 0.01, 0.99)))


def calibrate(
    judgement: Judgement, expected: float, hidden: Judgement, right: np.ndarray, *, stability: float, per_class: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability that each label is right, (U,) and of the hidden ones (V,), in (0, 1).

    It is a logistic curve over the judges' log-odds. What the judges promise is its prior, and hidden labels move it:
    the maximum a posteriori of slope and level.

    Args:
        judgement: of the U unlabelled images.
        expected: their accuracy by ``expected_accuracy``.
        hidden: of the V hidden labels, each by judges that did not know it.
        right: (V,) bool, the label was found again.
        stability: as in ``Grounds``.
        per_class: mean number of given labels a class.
    """
    odds = judgement.odds
    steepness = _SLOPE + _SLOPE_OF_STABILITY * _log_odds(stability)
    level = brentq(lambda x: expit(steepness * odds + x).mean() - expected, -60, 60)
    middle = odds.mean()  # so that slope and level are independent
    start = np.array([steepness, level + steepness * middle])
    ahead = _AT_FOLDS - _LESS_AT_FOLDS / np.clip(per_class, 1, _MOST_LABELS)
    promised = expit(steepness * hidden.odds + level + ahead)
    surprise = (promised.sum() - right.sum()) / np.sqrt((promised * (1 - promised)).sum() + 1)
    contradicted = surprise > _SURPRISE
    deviation = np.array([_SLOPE_DEVIATION, _LEVEL_DEVIATION_CONTRADICTED if contradicted else _LEVEL_DEVIATION])
    sign = np.where(right, 1.0, -1.0)

    def loss(at: np.ndarray) -> float:
        margin = sign * (at[0] * (hidden.odds - middle) + at[1] + ahead)
        return float(_WEIGHT_OF_HIDDEN * np.logaddexp(0, -margin).sum() + 0.5 * (((at - start) / deviation) ** 2).sum())

    slope, height = minimize(loss, start, method="L-BFGS-B", bounds=[(0.1, None), (None, None)]).x
    return expit(slope * (odds - middle) + height), expit(slope * (hidden.odds - middle) + height + ahead)


def as_sure(labelling: Labelling, pool: Pool, confidence: float) -> Labelling:
    """Return the same labelling whose network is on average as sure of unlabelled images as they are right.

    The network serves and predicts: its probabilities must not promise more than the labels do. One temperature
    divides its log-odds; classes stay (Guo et al. 2017, "On calibration of modern neural networks").

    Args:
        labelling: the result of the method.
        pool: the images and labels that the method was given.
        confidence: mean probability of the labels of the unlabelled images to be right.
    """
    network = labelling.fit.network
    assert isinstance(network, FrozenNetwork), "a classifier on frozen features"
    assert pool.frozen is not None, "the pool has features of a backbone"
    temperature = temperature_for(network.logits(pool.frozen.values[~pool.labelled]), confidence)
    return replace(labelling, fit=replace(labelling.fit, network=network.tempered(temperature)))


def temperature_for(logits: np.ndarray, confidence: float) -> float:
    """Return the temperature by which logits (n, C) are divided to be as sure, on average, as ``confidence``."""

    def excess(log_temperature: float) -> float:
        return float(softmax(logits / np.exp(log_temperature), axis=1).max(axis=1).mean()) - confidence

    if excess(_WIDEST) >= 0:
        log_temperature = _WIDEST  # of two classes one is always believed at least by half
    elif excess(-_WIDEST) <= 0:
        log_temperature = -_WIDEST
    else:
        log_temperature = float(brentq(excess, -_WIDEST, _WIDEST))
    return float(np.exp(log_temperature))
