"""Strategies: evidence about all pool images → a guess and a confidence for each.

A new strategy is a function ``Evidence → Guess`` and one line in ``kmpl.config.strategies``. No strategy sees a true
label of an unlabelled image. Shapes: N images, D feature dimension, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.strategies import STRATEGIES
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.errors import SettingError, look_up
from kmpl.method.cluster_graph import links, nearest_points, propagate_labels, vote
from kmpl.method.kmeans import cluster, kmeans
from kmpl.method.label_spreading import spread_over_images
from kmpl.method.results import Clusters, PseudoLabels


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that a strategy may know."""

    features: np.ndarray
    """(N, D) prepared for clustering."""
    probabilities: np.ndarray
    """(N, C) the network's softmax."""
    labels: np.ndarray
    """(N,) given labels, −1 = unlabelled."""
    clustering: Clustering
    settings: PseudoLabelling
    seed: int
    previous: Clusters | None = None
    """Of the same images in the last round, by the features they had then."""
    frozen: FrozenFeatures | None = None
    """Of a backbone: what no label changes, found before."""
    certainty: np.ndarray | None = None
    """(N,) weight of each given label; None = each has 1."""

    @property
    def labelled(self) -> np.ndarray:
        """(L,) indices of the labelled images."""
        return np.flatnonzero(self.labels != UNLABELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What a strategy thinks."""

    classes: np.ndarray
    """(N,) int64, −1 = none: no label reaches the image."""
    confidence: np.ndarray
    """(N,) in [0, 1]; 0 = do not use."""
    clusters: Clusters | None = None
    propagated: bool = False
    """Labels have spread over a graph: confidence is another kind of number, and ``graph_threshold`` applies to it."""


def prototype_knn(e: Evidence) -> Guess:
    """The notebook's way: K-means on the labelled features, the labelled image nearest to each centroid is a prototype,
    and the ``k`` nearest prototypes vote on every unlabelled image. Confidence is their share."""
    knn = by_prototypes(e)
    with threadpool_limits(1):
        shares = knn.predict_proba(e.features)
    return Guess(classes=knn.classes_[shares.argmax(axis=1)], confidence=shares.max(axis=1))


def by_prototypes(e: Evidence) -> KNeighborsClassifier:
    """Return what classifies features by the nearest prototypes.

    Raises:
        SettingError: more neighbours are asked for than there are prototypes.
    """
    features = e.features[e.labelled]
    labels = e.labels[e.labelled]
    n = e.clustering.n_prototypes
    prototypes = np.unique(nearest_points(features, kmeans(features, n, seed=e.seed).centroids, 1)[:, 0])
    if e.settings.k > len(prototypes):
        raise SettingError("pseudo_labels.k", e.settings.k, f"there are {len(prototypes)} prototypes", "no more")
    with threadpool_limits(1):
        return KNeighborsClassifier(e.settings.k, algorithm="brute").fit(features[prototypes], labels[prototypes])


def cluster_vote(e: Evidence) -> Guess:
    """K-means on all features; each cluster's class is what its nearest labelled images and its members vote for.

    Labelled members vote with their label, the others with the network's softmax if ``soft_votes`` says so. Confidence
    is the winner's share of the votes.
    """
    return _members_vote(e, cluster(e.features, e.labels, e.clustering, seed=e.seed, previous=e.previous))


def _members_vote(e: Evidence, clusters: Clusters) -> Guess:
    votes = e.probabilities.astype(np.float64) if e.settings.soft_votes else np.zeros(e.probabilities.shape)
    votes[e.labelled] = np.eye(votes.shape[1])[e.labels[e.labelled]]
    shares = vote(clusters, e.features, e.labels, votes=votes, k=e.settings.k)[clusters.assignment]
    return Guess(classes=shares.argmax(axis=1), confidence=shares.max(axis=1), clusters=clusters)


def self_training(e: Evidence) -> Guess:
    """The network's own argmax, with its probability as confidence.

    Source: Lee 2013, "Pseudo-Label: the simple and efficient semi-supervised learning method".
    """
    return Guess(classes=e.probabilities.argmax(axis=1), confidence=e.probabilities.max(axis=1))


def consensus(e: Evidence) -> Guess:
    """Cluster vote and network must agree; confidence is the lesser of the two, 0 where they disagree.

    Two judges that err for different reasons (what an image's neighbours are called, what the image looks like): where
    they agree, the label is right far more often than either alone.
    """
    return _agreed(cluster_vote(e), self_training(e))


def _agreed(by_cluster: Guess, by_network: Guess) -> Guess:
    agree = by_cluster.classes == by_network.classes
    confidence = np.where(agree, np.minimum(by_cluster.confidence, by_network.confidence), 0.0)
    return Guess(classes=by_cluster.classes, confidence=confidence, clusters=by_cluster.clusters)


# Given labels a cluster; docs/log/attempts-few-labels.md has the table of each.
_FEW_LABELS_PER_CLUSTER = 0.3
_MANY_LABELS_PER_CLUSTER = 2.0


def propagates(strategy: str, n_labelled: int, n_clusters: int) -> bool:
    """Say whether labels are so few for the clusters that a strategy spreads them, whatever the network thinks."""
    return look_up(STRATEGIES, strategy, "strategy").propagates and _few(n_labelled, n_clusters)


def _few(n_labelled: int, n_clusters: int) -> bool:
    return n_labelled < _FEW_LABELS_PER_CLUSTER * n_clusters


def cluster_graph(e: Evidence) -> Guess:
    """K-means on all features; given labels vote in their clusters and spread from cluster to cluster.

    Where labels are few, most clusters hold none. What such a cluster is called is decided by the clusters it touches,
    and theirs by those they touch; the network, which has seen no more than the same few labels, is not asked.
    Confidence is the winner's share of what reaches the cluster, 0 where nothing does. It falls with the distance from
    a label, not only with doubt, and what is far from every label is what to learn from: its threshold is its own.

    From three labels in ten clusters on the network has learnt enough to be asked: it and the graph must agree, and the
    confidence is the network's, because the share in a graph says what is near, not what is sure. With two labels a
    cluster or more there is little to spread: ``consensus`` decides.
    """
    clusters = cluster(e.features, e.labels, e.clustering, seed=e.seed, previous=e.previous)
    n_labelled = len(e.labelled)
    n_clusters = len(clusters.centroids)
    if n_labelled >= _MANY_LABELS_PER_CLUSTER * n_clusters:
        return _agreed(_members_vote(e, clusters), self_training(e))
    votes = np.zeros((n_clusters, e.probabilities.shape[1]))
    np.add.at(votes, (clusters.assignment[e.labelled], e.labels[e.labelled]), 1.0)
    graph = links(clusters, e.features, e.settings.links)
    shares = propagate_labels(graph, votes)[clusters.assignment]
    confidence = shares.max(axis=1)
    named = _if_reached(shares.argmax(axis=1), confidence)
    by_graph = Guess(classes=named, confidence=confidence, clusters=clusters, propagated=True)
    if _few(n_labelled, n_clusters):
        return by_graph
    return _agreed(replace(by_graph, confidence=np.sign(by_graph.confidence)), self_training(e))


def label_spreading(e: Evidence) -> Guess:
    """Labels spread over the graph of seven nearest neighbours, as in scikit-learn's LabelSpreading.

    An image that no label reaches has confidence 0 and no class.
    """
    classes, shares = spread_over_images(e.features, e.labels)
    confidence = np.minimum(shares.max(axis=1), 1.0)
    return Guess(classes=_if_reached(classes[shares.argmax(axis=1)], confidence), confidence=confidence)


def _if_reached(classes: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return classes (N,), −1 where confidence is 0: what no label reaches would else be called the first class."""
    return np.where(confidence > 0, classes, UNLABELLED)


def assign(evidence: Evidence, previous: PseudoLabels | None, number: int) -> PseudoLabels:
    """Return pseudo-labels for all images by the strategy of the settings.

    Given labels stay, and their confidence is their certainty. A guess below the confidence threshold, or of confidence
    0, is left out. An image whose class is the one it had in the ``previous`` round keeps the round that assigned it.

    Args:
        evidence: what is known.
        previous: the last round's pseudo-labels.
        number: this round, from 1.
    """
    strategy: Callable[[Evidence], Guess] = look_up(STRATEGIES, evidence.settings.strategy, "strategy").load()
    guess = strategy(evidence)
    labelled = evidence.labels != UNLABELLED
    guesses = np.where(labelled, evidence.labels, guess.classes)
    certainty = 1.0 if evidence.certainty is None else evidence.certainty
    confidence = np.where(labelled, certainty, guess.confidence)
    threshold = evidence.settings.graph_threshold if guess.propagated else evidence.settings.threshold
    kept = labelled | ((confidence > 0) & (confidence >= threshold))
    classes = np.where(kept, guesses, UNLABELLED)
    rounds = np.full(len(labelled), number)
    if previous is not None:
        rounds = np.where((previous.classes == classes) & kept, previous.rounds, number)
    rounds = np.where(labelled, 0, np.where(kept, rounds, UNLABELLED))
    return PseudoLabels(classes=classes, guesses=guesses, confidence=confidence, rounds=rounds, clusters=guess.clusters)
