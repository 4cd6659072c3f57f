"""How many labels on frozen features will be right, by how often two judges agree that know only the given labels.

One judge is the classifier trained on the given labels, the other the graph of nearest neighbours over which these
labels spread. They err for different reasons: where they agree, both are seldom wrong. So the share of images on which
they agree, less a little for few labels, is about the accuracy of the final labels. It needs no hidden label, knows of
images that are like none of the labelled ones, and counts classes as often as they come; hidden labels do neither, but
they are the truth. Both decide together. Shapes: N images, C classes, V hidden labels, U unlabelled images.

Sources: Jiang et al. 2022, "Assessing generalization of SGD via disagreement", https://arxiv.org/abs/2106.13799; Blum
& Mitchell 1998, "Combining labeled and unlabeled data with co-training". Measured: docs/log/attempts-pictures.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit, softmax

from kmpl.datasets.types import UNLABELLED, FrozenFeatures, Pool
from kmpl.method.cluster_ensemble import spread_labels
from kmpl.method.frozen_steps import fit_head
from kmpl.method.results import Labelling
from kmpl.models.frozen_network import FrozenNetwork

_SLOPE = 1.2
"""Log-odds of being right for each unit of log-odds that the judges give a class."""
_LESS_OF_ONE_LABEL = 0.2  # of the slope, where each class has one label
_SLOPE_DEVIATION = 0.3
_LEVEL_DEVIATION = 0.25
"""Log-odds by which the accuracy that agreement promises is off, as standard deviation."""
_LEVEL_DEVIATION_CONTRADICTED = 2.0  # where hidden labels say plainly that the judges agree on what is wrong
_SURPRISE = 3.0  # standard deviations of hits, from which on it is plain
_GAP_OF_ONE_LABEL = 0.15
"""Agreement less accuracy, where each class has one label."""
_GAP_EXPONENT = 0.7
_WIDEST = 5.0  # logarithm of the temperature, at most
_CERTAIN = 1e-3
"""No judge is surer than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the two judges say of images; n images."""

    odds: np.ndarray
    """(n,) log-odds that they give the class that each image was named."""
    agree: np.ndarray
    """(n,) bool: both would name the same class."""

    def take(self, images: np.ndarray) -> "Judgement":
        """Return what they say of some of the images, by index or mask."""
        return Judgement(odds=self.odds[images], agree=self.agree[images])


def joined(parts: Sequence[Judgement]) -> Judgement:
    """Return what is said of the images of all parts; of none if there is no part."""
    return Judgement(
        odds=np.concatenate([np.zeros(0), *(part.odds for part in parts)]),
        agree=np.concatenate([np.zeros(0, dtype=bool), *(part.agree for part in parts)]),
    )


def judge(pool: Pool, labelling: Labelling) -> Judgement:
    """Return what the judges say of the classes that a labelling named, in the order of the pool."""
    assert pool.frozen is not None, "the pool has features of a backbone"
    network = labelling.pretrained.network
    assert isinstance(network, FrozenNetwork), "a classifier on frozen features"
    by_classifier = network.probabilities(pool.frozen.values).astype(np.float64)
    by_graph = spread_labels(pool.frozen, pool.labels, n_classes=len(pool.classes))
    return judgement_of(by_classifier, by_graph, labelling.vote.probabilities.argmax(axis=1))


def judgement_of(by_classifier: np.ndarray, by_graph: np.ndarray, named: np.ndarray) -> Judgement:
    """Return what two judges, shares (n, C) each, say of the classes (n,) that images were named."""
    share = (by_classifier + by_graph)[np.arange(len(named)), named] / 2
    return Judgement(
        odds=logit(np.clip(share, _CERTAIN, 1 - _CERTAIN)),
        agree=by_classifier.argmax(axis=1) == by_graph.argmax(axis=1),
    )


def agreement_of(frozen: FrozenFeatures, labels: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return on which images judges agree that know some labels, (N,) bool.

    Args:
        frozen: features of all images.
        labels: (N,) classes, −1 = unlabelled.
        n_classes: C.
    """
    given = labels != UNLABELLED
    weight, bias = fit_head(frozen.values[given], labels[given], np.ones(given.sum()), n_classes=n_classes)
    by_classifier = (frozen.values @ weight.T + bias).argmax(axis=1)
    by_graph = spread_labels(frozen, labels, n_classes=n_classes).argmax(axis=1)
    return np.asarray(by_classifier == by_graph)


def expected_accuracy(agree: np.ndarray, given: np.ndarray, n_classes: int) -> float:
    """Return the accuracy on unlabelled images that agreement promises, before any label was hidden.

    Args:
        agree: (U,) bool, the judges agree.
        given: (L,) classes of the given labels.
        n_classes: C.

    >>> round(expected_accuracy(np.array([True] * 8 + [False] * 2), np.repeat(np.arange(4), 5), 4), 3)
    0.751
    """
    per_class = len(given) / n_classes
    gap = _GAP_OF_ONE_LABEL / max(per_class, 1.0) ** _GAP_EXPONENT
    by_chance = 1.5 / max(n_classes, 2)
    return float(np.clip(agree.mean() - gap, min(by_chance, 0.5), 0.995))


def calibrate(
    judgement: Judgement, expected: float, hidden: Judgement, right: np.ndarray, *, per_class: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability that each label is right, (U,) and of the hidden ones (V,), in (0, 1).

    It is a logistic curve over the judges' log-odds. What agreement promises is its prior, and hidden labels move it:
    the maximum a posteriori of slope and level.

    Args:
        judgement: of the U unlabelled images.
        expected: their accuracy by ``expected_accuracy``.
        hidden: of the V hidden labels, each by judges that did not know it.
        right: (V,) bool, the label was found again.
        per_class: mean number of given labels a class: judges that know one label are less sure than they say.
    """
    odds = judgement.odds
    steepness = _SLOPE - _LESS_OF_ONE_LABEL / max(per_class, 1.0)
    level = brentq(lambda x: expit(steepness * odds + x).mean() - expected, -60, 60)
    middle = odds.mean()  # so that slope and level are independent
    start = np.array([steepness, level + steepness * middle])
    promised = expit(steepness * hidden.odds + level)
    surprise = (promised.sum() - right.sum()) / np.sqrt((promised * (1 - promised)).sum() + 1)
    contradicted = surprise > _SURPRISE
    deviation = np.array([_SLOPE_DEVIATION, _LEVEL_DEVIATION_CONTRADICTED if contradicted else _LEVEL_DEVIATION])
    sign = np.where(right, 1.0, -1.0)

    def loss(at: np.ndarray) -> float:
        margin = sign * (at[0] * (hidden.odds - middle) + at[1])
        return float(np.logaddexp(0, -margin).sum() + 0.5 * (((at - start) / deviation) ** 2).sum())

    slope, height = minimize(loss, start, method="L-BFGS-B", bounds=[(0.1, None), (None, None)]).x
    ours, theirs = (np.asarray(expit(slope * (each - middle) + height)) for each in (odds, hidden.odds))
    return ours, theirs


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
