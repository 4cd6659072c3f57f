"""What three judges say of images who know only the given labels: a classifier, a graph of nearest images, clusters.

They err for different reasons: where all three are sure of the same class, it is seldom wrong. And were other images of
each class labelled, would the rest get the same labels? Labels are drawn anew from what was named, and the three judge
again: what hangs on the examples is less often right. Neither needs a hidden label. Shapes: N images, C classes.

Sources: Jiang et al. 2022, "Assessing generalization of SGD via disagreement", https://arxiv.org/abs/2106.13799; Blum
& Mitchell 1998, "Combining labeled and unlabeled data with co-training"; Lange et al. 2004, "Stability-based validation
of clustering solutions". Measured: docs/log/attempts-pictures.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit, softmax

from kmpl.datasets.types import UNLABELLED, FrozenFeatures, Pool
from kmpl.method.cluster_ensemble import members_opinion, product_of, spread_labels
from kmpl.method.frozen_steps import fit_head
from kmpl.method.results import Labelling
from kmpl.models.frozen_network import FrozenNetwork
from kmpl.runtime.seeds import derive

REDRAWS = 5
"""How often labels are drawn anew; ten change what is expected by less than a point."""
_CERTAIN = 1e-3
"""No judge is surer than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What the judges say of images; n images."""

    odds: np.ndarray
    """(n,) log-odds that they give, on average, the class that each image was named."""
    agree: np.ndarray
    """(n,) bool: classifier and graph would name the same class."""

    def take(self, images: np.ndarray) -> "Judgement":
        """Return what they say of some of the images, by index or mask."""
        return Judgement(odds=self.odds[images], agree=self.agree[images])


@dataclass(frozen=True, kw_only=True, slots=True)
class Grounds:
    """What speaks for the labels of a folder before any label is hidden; shares in (0, 1)."""

    support: float
    """What the judges give the named class, mean over the unlabelled images."""
    stability: float
    """Share of the unlabelled images that get the same label from other examples."""


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
    said = opinions(pool.frozen, pool.labels, network.probabilities(pool.frozen.values))
    named = labelling.vote.probabilities.argmax(axis=1)
    return judgement_of(said, named)


def judgement_of(said: np.ndarray, named: np.ndarray) -> Judgement:
    """Return what opinions (3, n, C) say of the classes (n,) that images were named."""
    return Judgement(odds=_odds(support_of(said, named)), agree=said[0].argmax(axis=1) == said[1].argmax(axis=1))


def opinions(frozen: FrozenFeatures, labels: np.ndarray, by_classifier: np.ndarray) -> np.ndarray:
    """Return what classifier, graph and clusters think, (3, N, C); each row's sum is 1.

    Args:
        frozen: features of all images.
        labels: (N,) classes, −1 = unlabelled.
        by_classifier: (N, C) probabilities of a classifier that learnt from these labels.
    """
    by_graph = spread_labels(frozen, labels, n_classes=by_classifier.shape[1])
    judged = product_of((by_classifier, by_graph))
    return np.stack([by_classifier, by_graph, members_opinion(frozen, labels, judged)])


def classifier_of(frozen: FrozenFeatures, labels: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return the probabilities (N, C) of a classifier that learns from some labels, (N,), −1 = unlabelled."""
    given = labels != UNLABELLED
    weight, bias = fit_head(frozen.values[given], labels[given], np.ones(given.sum()), n_classes=n_classes)
    return np.asarray(softmax(frozen.values @ weight.T + bias, axis=1))


def grounds_of(
    frozen: FrozenFeatures,
    labels: np.ndarray,
    named: np.ndarray | None = None,
    *,
    asked: np.ndarray | None = None,
    n_classes: int,
    seed: int,
    redraws: int = REDRAWS,
) -> Grounds:
    """Return what speaks for the labels of the unlabelled images.

    Args:
        frozen: features of all images.
        labels: (N,) given classes, −1 = unlabelled.
        named: (N,) class that each image was named; None: what the judges name together.
        asked: (N,) bool, images whose labels are meant; None: all unlabelled ones.
        n_classes: C.
        seed: of the drawing.
        redraws: how often labels are drawn anew.
    """
    said = opinions(frozen, labels, classifier_of(frozen, labels, n_classes=n_classes))
    named = product_of(tuple(said)).argmax(axis=1) if named is None else named
    unlabelled = labels == UNLABELLED
    rest = unlabelled if asked is None else asked
    support = support_of(said, named)
    rng = np.random.default_rng(derive(seed, "other examples"))
    counts = np.bincount(labels[~unlabelled], minlength=n_classes)
    same = []
    for _ in range(redraws):
        others = drawn_anew(np.where(unlabelled, named, UNLABELLED), counts, support, rng)
        anew = opinions(frozen, others, classifier_of(frozen, others, n_classes=n_classes))
        seen = rest & (others == UNLABELLED)
        alike = product_of(tuple(anew)).argmax(axis=1) == named
        same.append(alike[seen if seen.any() else rest].mean())
    return Grounds(support=float(support[rest].mean()), stability=float(np.mean(same)))


def drawn_anew(named: np.ndarray, counts: np.ndarray, support: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels (N,) of as many images of each class as were given, drawn from the named, the surer the likelier.

    Args:
        named: (N,) class, −1 = not to be drawn.
        counts: (C,) given labels of each class.
        support: (N,) what the judges give the named class.
        rng: draws.
    """
    labels = np.full(len(named), UNLABELLED)
    for c in np.flatnonzero(counts):
        images = np.flatnonzero(named == c)
        if len(images):
            chances = support[images] / support[images].sum()
            labels[rng.choice(images, min(counts[c], len(images)), replace=False, p=chances)] = c
    return labels


def support_of(said: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return what opinions (3, N, C) give the named class (N,), on average, (N,)."""
    return np.asarray(said.mean(axis=0)[np.arange(len(named)), named])


def _odds(share: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(share, _CERTAIN, 1 - _CERTAIN)))
