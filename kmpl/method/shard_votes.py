"""Votes on features in shards: classifier, graph of clusters and many K-means clusterings judge together.

The strategy ``cluster-ensemble`` and the classifier that learns from it, for features that fit no memory: all that is
summed is summed shard by shard, in the shards' order. The classifier learns from a bounded sample of the assigned
labels, which weighs as much as all of them. Shapes: N images, n of them in a shard, D feature dimension, C classes, E
clusterings, K clusters in one.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from kmpl.config.experiment import PseudoLabelling
from kmpl.datasets.types import UNLABELLED
from kmpl.method.cluster_ensemble import LEAST, SHARE, WEIGHT_OF_GIVEN, one_hot, product_of
from kmpl.method.cluster_graph import propagate_labels
from kmpl.method.frozen_steps import fit_head
from kmpl.method.shard_kmeans import each, rows, split
from kmpl.method.shard_structure import ShardStructure
from kmpl.runtime.seeds import derive

HEAD_IMAGES = 20_000
"""Images with an assigned label, and with a given one, of which the classifier learns, at most."""
_UNDECIDED = 1e-3  # votes of each class in a cluster, so that one without votes has no opinion


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Given labels of all images."""

    classes: np.ndarray
    """(N,) −1 = unlabelled."""
    certainty: np.ndarray
    """(N,) weight of each given label; 1 where there is none."""
    n_classes: int

    def hiding(self, hidden: np.ndarray) -> "Labels":
        """Return them without the labels of some images, (N,) bool."""
        classes = np.where(hidden, UNLABELLED, self.classes)
        return Labels(classes=classes, certainty=np.where(hidden, 1.0, self.certainty), n_classes=self.n_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judges:
    """What knows only the given labels: a classifier, and the graphs of clusters over which they spread."""

    weight: np.ndarray
    bias: np.ndarray
    reached: dict[int, np.ndarray]
    """Shares (K, C) of what reaches each cluster, by the column of its clustering."""

    def opinions(self, features: np.ndarray, assignments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what classifier and graphs think of images (n, D) and (n, 1 + E): shares (n, C) each."""
        parts = [reached[assignments[:, column]] for column, reached in self.reached.items()]
        return _probabilities(features, self.weight, self.bias), np.mean(parts, axis=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardModel:
    """What names images, after one round of votes."""

    judges: Judges
    members: list[np.ndarray]
    """Shares (K, C) of what the members of each cluster think, for each clustering of the ensemble."""
    weight: np.ndarray
    """(C, D) of the classifier that learnt from given and assigned labels."""
    bias: np.ndarray

    def vote(self, features: np.ndarray, assignments: np.ndarray) -> np.ndarray:
        """Return what all judges together think of images, shares (n, C)."""
        judged = product_of(self.judges.opinions(features, assignments))
        return product_of((judged, self._by_members(assignments)))

    def opinions(self, features: np.ndarray, assignments: np.ndarray) -> np.ndarray:
        """Return what the first classifier, graphs and clusters think of images, (3, n, C); each row's sum is 1."""
        by_classifier, by_graph = self.judges.opinions(features, assignments)
        shares = np.maximum(by_graph, LEAST)  # even where no label reaches
        by_graph = shares / shares.sum(axis=1, keepdims=True)
        return np.stack([by_classifier, by_graph, self._by_members(assignments)])

    def _by_members(self, assignments: np.ndarray) -> np.ndarray:
        shares = sum(shares[column] for shares, column in zip(self.members, assignments.T[1:], strict=True))
        return np.asarray(shares) / len(self.members)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, C) of the last classifier."""
        return _probabilities(features, self.weight, self.bias)


def _probabilities(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.asarray(softmax(np.asarray(features, dtype=np.float32) @ weight.T + bias, axis=1))


def first_judges(structure: ShardStructure, labels: Labels, seed: int) -> Judges:
    """Return the judges that know the given labels alone."""
    every = np.flatnonzero(labels.classes != UNLABELLED)
    given = _some(every, seed)
    weights = labels.certainty[given] * (len(every) / len(given))
    weight, bias = fit_head(rows(structure.features, given), labels.classes[given], weights, n_classes=labels.n_classes)
    clusters = rows(structure.assignments, every).astype(np.int64)
    reached = {}
    for column, graph in structure.graphs.items():
        votes = np.zeros((structure.sizes[column], labels.n_classes))
        np.add.at(votes, (clusters[:, column], labels.classes[every]), 1.0)
        reached[column] = propagate_labels(graph, votes, share=SHARE)
    return Judges(weight=weight, bias=bias, reached=reached)


def fit(structure: ShardStructure, labels: Labels, settings: PseudoLabelling, seed: int) -> ShardModel:
    """Return the model of one round: judges vote, members of clusters vote, and a classifier learns from the result.

    Args:
        structure: of all images.
        labels: that the method may see.
        settings: of pseudo-labelling.
        seed: of the sample that the classifier learns from.
    """
    model = first_model(structure, labels, seed)
    weight, bias = _retrained(structure, labels, model, settings, seed)
    return replace(model, weight=weight, bias=bias)


def first_model(structure: ShardStructure, labels: Labels, seed: int) -> ShardModel:
    """Return the judges that know the given labels alone, and what they make of the members of each cluster."""
    judges = first_judges(structure, labels, seed)
    members = _members(structure, labels, judges)
    return ShardModel(judges=judges, members=members, weight=judges.weight, bias=judges.bias)


def _members(structure: ShardStructure, labels: Labels, judges: Judges) -> list[np.ndarray]:
    """Return what the members of each cluster think, shares (K, C) for each clustering of the ensemble."""
    sizes = structure.sizes[1:]

    def sums(features: np.ndarray, assignments: np.ndarray, given: np.ndarray) -> list[np.ndarray]:
        votes = one_hot(given, labels.n_classes)
        judged = product_of(judges.opinions(features, assignments))
        votes = np.where(votes.any(axis=1, keepdims=True), WEIGHT_OF_GIVEN * votes, judged)
        n = len(given)
        members = (
            csr_array((np.ones(n), column.astype(np.int32), np.arange(n + 1)), shape=(n, size))
            for column, size in zip(assignments.T[1:], sizes, strict=True)
        )
        return [each_of.T @ votes for each_of in members]

    totals = [np.full((size, labels.n_classes), _UNDECIDED) for size in sizes]
    parts = split(labels.classes, structure.features)
    for shard in each(sums, structure.features, structure.assignments, parts):
        for total, part in zip(totals, shard, strict=True):
            total += part
    return [total / total.sum(axis=1, keepdims=True) for total in totals]


def _retrained(
    structure: ShardStructure, labels: Labels, model: ShardModel, settings: PseudoLabelling, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classifier that learnt from given labels and from a sample of what the judges assign."""
    given = np.flatnonzero(labels.classes != UNLABELLED)
    rest = np.flatnonzero(labels.classes == UNLABELLED)
    known, sample = _some(given, seed), _some(rest, seed)
    features = rows(structure.features, sample)
    guess = model.vote(features, rows(structure.assignments, sample).astype(np.int64))
    confidence = guess.max(axis=1)
    kept = confidence >= settings.threshold
    if not kept.any():
        return model.judges.weight, model.judges.bias
    weights = (confidence if settings.weighted else np.ones(len(sample)))[kept] * (len(rest) / len(sample))
    share = settings.labelled_share
    times = max(1.0, share / (1 - share) * weights.sum() / len(given))
    of_given = times * labels.certainty[known] * (len(given) / len(known))
    return fit_head(
        np.concatenate([rows(structure.features, known), features[kept]]),
        np.concatenate([labels.classes[known], guess.argmax(axis=1)[kept]]),
        np.concatenate([of_given, weights]),
        n_classes=labels.n_classes,
    )


def _some(images: np.ndarray, seed: int) -> np.ndarray:
    """Return at most ``HEAD_IMAGES`` of some images, drawn at random, in rising order."""
    if len(images) <= HEAD_IMAGES:
        return images
    return np.sort(np.random.default_rng(derive(seed, "head")).choice(images, HEAD_IMAGES, replace=False))
