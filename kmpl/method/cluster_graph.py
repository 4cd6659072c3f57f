"""Labels of clusters: by the votes of their members, and by label propagation from cluster to cluster."""

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg, splu
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED
from kmpl.method.results import Clusters


def nearest_points(features: np.ndarray, centroids: np.ndarray, k: int) -> np.ndarray:
    """Return the indices (K, k) of the ``k`` points of ``features`` (N, D) nearest to each centroid, nearest first."""
    with threadpool_limits(1):
        return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features).kneighbors(centroids)[1]


def vote(clusters: Clusters, features: np.ndarray, labels: np.ndarray, *, votes: np.ndarray, k: int) -> np.ndarray:
    """Return what each cluster thinks of its members, (K, C) shares that sum to one.

    The ``k`` labelled points nearest to the centroid vote with one whole vote each, the members with ``votes``.

    Args:
        clusters: of all N points.
        features: (N, D) what was clustered.
        labels: (N,) classes, −1 where unknown.
        votes: (N, C) the members' votes: a row sums to one, or to zero for a member that does not vote.
        k: at least 1; where fewer points are labelled, all of them vote.
    """
    labelled = np.flatnonzero(labels != UNLABELLED)
    near = nearest_points(features[labelled], clusters.centroids, min(k, len(labelled)))
    shares = np.zeros((len(clusters.centroids), votes.shape[1]))
    np.add.at(shares, clusters.assignment, votes)
    for column in labels[labelled][near].T:
        shares[np.arange(len(shares)), column] += 1
    return shares / shares.sum(axis=1, keepdims=True)


def links(clusters: Clusters, features: np.ndarray, k: int = 1) -> csr_array:
    """Return how closely clusters touch, (K, K) symmetric, zero on the diagonal.

    Each point links the cluster whose centroid is nearest to it, at distance d₁, with each of the ``k`` next nearest,
    the more the less it prefers the nearest: by exp(−((d − d₁) / d₁)²). So clusters are near where points lie between
    them, not where their centroids happen to be near.
    """
    n_clusters = len(clusters.centroids)
    k = min(k, n_clusters - 1)
    with threadpool_limits(1):
        nearest = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(clusters.centroids)
        distance, near = nearest.kneighbors(features)
    first = distance[:, :1]
    others = distance[:, 1:]
    weight = np.exp(-np.square((others - first) / np.maximum(first, 1e-12)))
    pairs = np.repeat(near[:, 0], k), near[:, 1:].ravel()
    half = coo_array((weight.ravel(), pairs), shape=(n_clusters, n_clusters)).tocsr()
    return csr_array(half + half.T)


_LARGE_GRAPH = 1_000  # nodes: of a graph of 4,000 images the factors take 7 s, the same by gradients 0.03


def _solve(system: csr_array, votes: np.ndarray) -> np.ndarray:
    """Return the solution (K, C) of a symmetric positive definite system: exact, or by conjugate gradients if large."""
    with threadpool_limits(1):
        if system.shape[0] <= _LARGE_GRAPH:
            return splu(system.tocsc()).solve(votes)
        return np.stack([cg(system, column, rtol=1e-8)[0] for column in votes.T], axis=1)


def propagate_labels(graph: csr_array, votes: np.ndarray, share: float = 0.99) -> np.ndarray:
    """Return what reaches each cluster of the votes that were cast in all of them, (K, C) shares that sum to one.

    Solves F = share · S F + (1 − share) · votes with S = D^−½ · graph · D^−½, then divides each class's column by its
    sum, so that every class has the same mass. Without that the class with the most votes, or with votes in the best
    linked clusters, wins everywhere: far from all votes every row of F is nearly the same. So neither the number of a
    class's votes nor their weight matters, only where they were cast. A cluster that no vote reaches has zeros.

    Args:
        graph: (K, K) how closely clusters touch.
        votes: (K, C) cast in each cluster.
        share: in [0, 1), of what a cluster hears from its neighbours.

    Sources: Zhou et al. 2004, "Learning with local and global consistency", in its closed form; Zhu, Ghahramani,
    Lafferty 2003, "Semi-supervised learning using Gaussian fields and harmonic functions", class-mass normalisation.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1.0)))
    system = eye_array(len(degree)) - share * (scale @ graph @ scale)
    reached = np.maximum(_solve(system, np.asarray(votes, dtype=np.float64)), 0.0)
    near = reached.sum(axis=1, keepdims=True) > 1e-12 * max(1.0, float(votes.sum()))
    mass = reached.sum(axis=0)
    equal = np.divide(reached, mass, out=np.zeros_like(reached), where=mass > 0)
    return np.divide(equal, equal.sum(axis=1, keepdims=True), out=np.zeros_like(equal), where=near)
