"""The strategy ``cluster-ensemble``: classifier, graph of nearest points and many K-means clusterings judge together.

It is for features that a network learnt elsewhere, where a class is many small groups. One clustering cuts some of
these groups in two and joins others; sixteen clusterings of different sizes seldom do so in the same place. Shapes:
N images, D feature dimension, C classes.

Sources: Zelnik-Manor & Perona 2004, "Self-tuning spectral clustering", for the weights of the graph; Hinton 2002,
"Training products of experts by minimizing contrastive divergence", for the product. Measured:
docs/log/attempts-feature-vectors.md.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array, csr_array
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.method.cluster_graph import propagate_labels
from kmpl.method.kmeans import cluster, kmeans
from kmpl.method.pseudo_labels import Evidence, Guess
from kmpl.runtime.seeds import derive

NEIGHBOURS = 10
"""Nearest images that an image is linked with."""
SHARE = 0.8  # of what a point hears from its neighbours
_COMPONENTS = 64  # more hold noise that tells clusters nothing
_IMAGES_PER_CLUSTER = (16, 10, 6, 4)
_MOST_CLUSTERS = 1_000
_STARTS = 4  # clusterings of each size
WEIGHT_OF_GIVEN = 3.0  # votes of a given label, where an unlabelled member has one
LEAST = 1e-4  # no judge rules a class out alone


def cluster_ensemble(e: Evidence) -> Guess:
    """The product of three judges: the network, the graph of nearest images, and the members of many clusters.

    In the graph, given labels spread to nearest images, with the same mass for every class. Network and graph together
    give each unlabelled image a vote; in each of sixteen clusterings the members of a cluster vote on its class, given
    labels with triple weight, and the third judge is the mean over the clusterings. Confidence is the normalised
    product: it orders images well, and promises too much (``kmpl label`` calibrates it).
    """
    frozen = e.frozen
    graph = neighbour_graph(e.features, NEIGHBOURS) if frozen is None or frozen.graph is None else frozen.graph
    assignments = (frozen.clusterings if frozen else ()) or clusterings(e.features, seed=e.seed)
    votes = one_hot(e.labels, e.probabilities.shape[1])
    judged = product_of((e.probabilities, propagate_labels(graph, votes, share=SHARE)))
    judged = product_of((judged, members_vote(assignments, _votes(votes, judged))))
    shown = cluster(e.features, e.labels, e.clustering, seed=e.seed, previous=e.previous)
    return Guess(classes=judged.argmax(axis=1), confidence=judged.max(axis=1), clusters=shown)


def one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return one vote of each given label for its class, (N, C); labels (N,), −1 = none."""
    votes = np.zeros((len(labels), n_classes))
    given = np.flatnonzero(labels != UNLABELLED)
    votes[given, labels[given]] = 1.0
    return votes


def spread_labels(frozen: FrozenFeatures, labels: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return what reaches each image of each class over the graph, as shares (N, C); even where nothing does."""
    graph = neighbour_graph(frozen.values, NEIGHBOURS) if frozen.graph is None else frozen.graph
    reached = np.maximum(propagate_labels(graph, one_hot(labels, n_classes), share=SHARE), LEAST)
    return np.asarray(reached / reached.sum(axis=1, keepdims=True))


def members_opinion(frozen: FrozenFeatures, labels: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Return what clusters think of their members, (N, C): given labels vote, and what is judged of the others.

    Args:
        frozen: features of all images; clustered where they are not yet.
        labels: (N,) classes, −1 = unlabelled.
        judged: (N, C) shares of the classes.
    """
    assignments = frozen.clusterings or clusterings(frozen.values, seed=0)
    return members_vote(assignments, _votes(one_hot(labels, judged.shape[1]), judged))


def _votes(given: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Return the vote of each point, (N, C): of its given label (N, C) with triple weight, else what is judged."""
    return np.where(given.any(axis=1, keepdims=True), WEIGHT_OF_GIVEN * given, judged)


def neighbour_graph(features: np.ndarray, k: int) -> csr_array:
    """Return how near points are to their ``k`` nearest, (N, N) sparse, symmetric, zero on the diagonal.

    The weight of a pair is exp(−d² / (s₁ s₂)), where s is the distance of each from its own ``k``-th neighbour: so
    dense and sparse regions are linked alike.
    """
    n = len(features)
    k = min(k, n - 1)
    with threadpool_limits(1):
        distance, near = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(features).kneighbors(features)
    distance = distance[:, 1:]  # each point is its own first neighbour, or an equal point is
    near = near[:, 1:]
    scale = np.maximum(distance[:, -1], 1e-12)
    weight = np.exp(-np.square(distance) / (scale[:, None] * scale[near]))
    pairs = np.repeat(np.arange(n), k), near.ravel()
    half = coo_array((weight.ravel(), pairs), shape=(n, n)).tocsr()
    graph = half.maximum(half.T).tolil()
    graph.setdiag(0.0)
    return csr_array(graph)


def clusterings(features: np.ndarray, *, seed: int) -> list[np.ndarray]:
    """Return sixteen K-means clusterings, each (N,): four numbers of clusters with four starts each.

    Features of many dimensions are clustered by the direction of their 64 principal components.
    """
    features = reduced(features, fit_reduction(features))
    return [
        kmeans(features, number, seed=derive(seed, "ensemble", size, start)).assignment
        for size, start, number in numbers_of_clusters(len(features))
    ]


def fit_reduction(features: np.ndarray) -> PCA | None:
    """Return the 64 principal components of features (N, D); None where they have no more numbers, or rows."""
    if min(features.shape) <= _COMPONENTS:
        return None
    with threadpool_limits(1):
        return PCA(_COMPONENTS, svd_solver="covariance_eigh").fit(np.asarray(features, dtype=np.float64))


def reduced(features: np.ndarray, reduction: PCA | None) -> np.ndarray:
    """Return what is clustered of features (N, D): the direction of their components, or they themselves."""
    if reduction is None:
        return features
    with threadpool_limits(1):
        return normalize(reduction.transform(np.asarray(features, dtype=np.float64))).astype(np.float32)


def numbers_of_clusters(n_images: int) -> list[tuple[int, int, int]]:
    """Return images a cluster, start and number of clusters of each clustering."""
    return [
        (size, start, min(max(2, n_images // size), _MOST_CLUSTERS, n_images))
        for size in _IMAGES_PER_CLUSTER
        for start in range(_STARTS)
    ]


def members_vote(assignments: Sequence[np.ndarray], votes: np.ndarray) -> np.ndarray:
    """Return what clusters think of their members, (N, C): shares of the members' votes, mean over the clusterings.

    Args:
        assignments: cluster of each point, (N,), of each clustering.
        votes: (N, C) of each point for each class; a cluster without votes has no opinion.

    >>> votes = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> members_vote([np.array([0, 0, 1]), np.array([0, 1, 1])], votes).round(2).tolist()
    [[0.87, 0.13], [0.38, 0.62], [0.0, 1.0]]
    """
    total = np.zeros(votes.shape)
    for assignment in assignments:
        shares = np.full((int(assignment.max()) + 1, votes.shape[1]), 1e-3)
        np.add.at(shares, assignment, votes)
        total += (shares / shares.sum(axis=1, keepdims=True))[assignment]
    return total / len(assignments)


def product_of(judges: Sequence[np.ndarray]) -> np.ndarray:
    """Return the normalised product of opinions (N, C); a row of zeros is no opinion, and no zero is a veto."""
    logs = np.sum([np.log(np.maximum(opinion, LEAST)) for opinion in judges], axis=0)
    product = np.exp(logs - logs.max(axis=1, keepdims=True))
    return product / product.sum(axis=1, keepdims=True)
