"""Features into clusters, and clusters into votes. Shapes: N points, D feature dimension, C classes, K clusters.

Distances are always computed in blocks (scikit-learn's ``working_memory``), never as one N × N or N × K matrix in
float64. Everything runs on one thread here: scikit-learn adds the threads' partial sums in the order in which they
finish, so that more threads would make the last bits of centroids depend on chance.
"""

import warnings
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from kmpl.config.experiment import Clustering
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import SettingError, UserError
from kmpl.method.results import Clusters

_ITERATIONS = 15  # of Lloyd's, at most: thirty take half a per cent more off the inertia, and twice the time
# The same from the round before: within 1 % of the inertia of a hundred from scratch, and as pure.
_WARM_START_ITERATIONS = 6


def prepare(features: np.ndarray, settings: Clustering, seed: int) -> np.ndarray:
    """Return features (N, D') float32 as they are clustered: PCA-whitened and scaled to length one, as settings say.

    Source: Caron et al. 2018, DeepCluster, https://arxiv.org/abs/1807.05520
    """
    ready = np.ascontiguousarray(features, dtype=np.float32)
    if settings.whiten:
        limit = min(ready.shape)
        if settings.whiten > limit:
            raise SettingError("clustering.whiten", settings.whiten, f"features have at most {limit} components")
        with threadpool_limits(1):
            pca = PCA(settings.whiten, whiten=True, random_state=seed, svd_solver="covariance_eigh")
            ready = pca.fit_transform(ready)
    return normalize(ready) if settings.l2 else ready


def check_n_clusters(n_clusters: int, n_points: int) -> None:
    """Refuse fewer than one cluster, and more than points.

    Raises:
        SettingError: in one line.
    """
    if not 1 <= n_clusters <= n_points:
        raise SettingError("clustering.n_clusters", n_clusters, f"there are {n_points} points", f"1 to {n_points}")


def _without_empty(assignment: np.ndarray, centroids: np.ndarray, inertia: float) -> Clusters:
    """Drop clusters that got no point (fewer distinct points than clusters) and number the others anew."""
    used, renumbered = np.unique(assignment, return_inverse=True)
    return Clusters(assignment=renumbered.astype(np.int64), centroids=centroids[used], inertia=float(inertia))


def _plus_plus(features: np.ndarray, n_clusters: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return k-means++ starts from a sample: on all of 60,000 points they take longer than what follows."""
    size = max(20 * n_clusters, 4_000)
    if len(features) > size:
        features = features[random_state.permutation(len(features))[:size]]
    exact = features.astype(np.float64)  # else scikit-learn converts it anew for each start, in half of the time
    return kmeans_plusplus(exact, n_clusters, random_state=random_state)[0]


def kmeans(
    features: np.ndarray,
    n_clusters: int,
    *,
    seed: int,
    algorithm: str = "kmeans",
    restarts: int = 1,
    previous: np.ndarray | None = None,
) -> Clusters:
    """Return K-means clusters (scikit-learn's Lloyd or mini-batch) of features (N, D).

    Args:
        features: (N, D).
        n_clusters: at most N.
        seed: of the starts.
        algorithm: kmeans or mini-batch.
        restarts: starts that are drawn; the best inertia wins.
        previous: (N,) in [0, n_clusters), how other features of the same points were clustered. It then starts once,
            from the means of these groups.

    Raises:
        SettingError: fewer than one or more than N clusters.

    >>> kmeans(np.array([[0.0], [0.1], [5.0]]), 2, seed=0).sizes.tolist() in ([1, 2], [2, 1])
    True
    """
    check_n_clusters(n_clusters, len(features))
    kind = {"kmeans": KMeans, "mini-batch": MiniBatchKMeans}[algorithm]
    iterations = _ITERATIONS if previous is None else _WARM_START_ITERATIONS
    more: dict[str, Any] = (
        {"batch_size": 4096} if kind is MiniBatchKMeans else {"init": _plus_plus, "max_iter": iterations}
    )
    if previous is not None:
        more["init"] = _means(features, previous, n_clusters)
        restarts = 1
    model = kind(n_clusters, n_init=restarts, random_state=seed, **more)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # duplicates: fewer clusters than asked, handled below
        model.fit(features)
    return _without_empty(model.labels_, model.cluster_centers_, model.inertia_)


def seeded_kmeans(
    features: np.ndarray, labels: np.ndarray, *, n_clusters: int, seed: int, max_iter: int = 100
) -> Clusters:
    """Return K-means clusters that start at the labelled points' means and keep labelled points with their class.

    Each class owns an equal share of the clusters; a labelled point may only join a cluster of its own class, the
    others join the nearest of all. A cluster that runs empty takes the point farthest from its centroid.

    Args:
        features: (N, D).
        labels: (N,) classes in [0, C), −1 where unknown.
        n_clusters: at least C.
        seed: of the clusters' starts.
        max_iter: rounds of assigning and moving, at most.

    Raises:
        SettingError: fewer clusters than classes, or more than N.
        UserError: no point is labelled.

    Source: Basu et al. 2002, "Semi-supervised clustering by seeding" (constrained K-means).
    """
    check_n_clusters(n_clusters, len(features))
    classes = np.unique(labels[labels != UNLABELLED])
    if not len(classes):
        raise UserError("seeded K-means needs labelled points; none has a label")
    if n_clusters < len(classes):
        reason = f"seeded K-means needs one for each of {len(classes)} classes"
        raise SettingError("clustering.n_clusters", n_clusters, reason)
    owner = np.sort(np.resize(np.arange(len(classes)), n_clusters))
    centroids = _starts(features, labels, classes, owner=owner, seed=seed)
    clamped = [(np.flatnonzero(labels == c), np.flatnonzero(owner == i)) for i, c in enumerate(classes)]
    assignment = np.full(len(features), -1)
    with threadpool_limits(1):
        for _ in range(max_iter):
            last = assignment
            assignment, distance = pairwise_distances_argmin_min(features, centroids)
            for points, own in clamped:
                nearest, distance[points] = pairwise_distances_argmin_min(features[points], centroids[own])
                assignment[points] = own[nearest]
            assignment = _fill_empty(assignment, distance, labels, n_clusters=n_clusters)
            if np.array_equal(assignment, last):
                break
            centroids = _means(features, assignment, n_clusters)
    inertia = np.square(features - centroids[assignment]).sum()
    return _without_empty(assignment, centroids, inertia)


def _starts(
    features: np.ndarray, labels: np.ndarray, classes: np.ndarray, *, owner: np.ndarray, seed: int
) -> np.ndarray:
    """Return the first centroids (K, D): K-means of each class's labelled points, topped up with unlabelled."""
    starts = np.empty((len(owner), features.shape[1]), dtype=features.dtype)
    unlabelled = np.flatnonzero(labels == UNLABELLED)
    means = np.stack([features[labels == c].mean(axis=0) for c in classes])
    nearest, _ = pairwise_distances_argmin_min(features[unlabelled], means) if len(unlabelled) else (unlabelled, None)
    rng = np.random.default_rng(seed)
    for i, c in enumerate(classes):
        own = np.flatnonzero(owner == i)
        seeds = features[labels == c]
        if len(seeds) > len(own):
            first = kmeans(seeds, len(own), seed=seed).centroids
        else:
            more = rng.permutation(unlabelled[nearest == i])[: len(own) - len(seeds)]
            first = np.concatenate([seeds, features[more]])
        starts[own] = np.resize(first, (len(own), features.shape[1]))
    return starts


def _fill_empty(assignment: np.ndarray, distance: np.ndarray, labels: np.ndarray, *, n_clusters: int) -> np.ndarray:
    """Give each empty cluster the unlabelled point that lies farthest from its own centroid."""
    empty = np.flatnonzero(np.bincount(assignment, minlength=n_clusters) == 0)
    if len(empty):
        far = np.argsort(-np.where(labels == UNLABELLED, distance, -1), kind="stable")[: len(empty)]
        assignment = assignment.copy()
        assignment[far[labels[far] == UNLABELLED]] = empty[: (labels[far] == UNLABELLED).sum()]
    return assignment


def _means(features: np.ndarray, assignment: np.ndarray, n_clusters: int) -> np.ndarray:
    order = np.argsort(assignment, kind="stable")
    counts = np.bincount(assignment, minlength=n_clusters)
    means = np.zeros((n_clusters, features.shape[1]), dtype=features.dtype)
    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    means[filled] = np.add.reduceat(features[order], starts, axis=0) / counts[filled, None]
    return means


def cluster(
    features: np.ndarray, labels: np.ndarray, settings: Clustering, *, seed: int, previous: Clusters | None = None
) -> Clusters:
    """Return clusters of prepared features (N, D) by the algorithm of the settings.

    Where the settings ask for one start, K-means takes it from the clusters of the same points in the ``previous``
    round, unless points were so alike that there were fewer of these than asked for.
    """
    if settings.algorithm == "seeded":
        return seeded_kmeans(features, labels, n_clusters=settings.n_clusters, seed=seed)
    warm = previous is not None and settings.restarts == 1 and len(previous.centroids) == settings.n_clusters
    return kmeans(
        features,
        settings.n_clusters,
        seed=seed,
        algorithm=settings.algorithm,
        restarts=settings.restarts,
        previous=previous.assignment if previous is not None and warm else None,
    )
