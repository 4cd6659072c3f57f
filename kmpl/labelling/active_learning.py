"""Which images a person should label next. Shapes: N images, D feature dimension, S suggestions.

First the typical: the image nearest to the centroid of each cluster that holds no given label, large clusters first.
Few labels buy most where they cover what there is; only when every cluster has one does it pay to ask about the images
that the method is least certain of. Never near-duplicates, neither of each other nor of what is labelled already.

Sources: Hacohen et al. 2022, "Active learning on a budget: opposite strategies suit high and low budgets",
https://arxiv.org/abs/2202.02794; Yehuda et al. 2022, "Active learning through a covering lens",
https://arxiv.org/abs/2205.11320.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin_min
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import LEFT_OUT
from kmpl.errors import UserError
from kmpl.method.kmeans import kmeans
from kmpl.method.results import Clusters

Reason = Literal["no label in its cluster", "least certain", "between clusters"]

NEAR = 0.1
"""Distance, as a share of the spread of all features, up to which two images are near-duplicates (see docs/log.md)."""
_CLUSTER = 20  # images in a cluster, on average, at least: smaller ones are chance


@dataclass(frozen=True)
class Suggestions:
    """Images to label next, the most useful first."""

    images: np.ndarray
    """(S,) indices; fewer than asked for where all others are near-duplicates."""
    reasons: tuple[Reason, ...]
    """(S,) why each."""
    clusters: Clusters
    """Of all N images."""
    confidence: np.ndarray | None = None
    """(N,) how sure the class of each image is; None where that was not asked for."""


def check_budget(labels: np.ndarray, budget: int) -> None:
    """Refuse a budget that the labels (N,) leave no room for.

    Raises:
        UserError: no image to choose, or fewer unlabelled ones than the budget.
    """
    unlabelled = int((labels == LEFT_OUT).sum())
    if budget < 1:
        raise UserError(f"budget {budget}: give at least 1")
    if not unlabelled:
        raise UserError(f"all {len(labels)} images are labelled: there is nothing to suggest")
    if budget > unlabelled:
        raise UserError(f"budget {budget}: {unlabelled} images have no label; give 1 to {unlabelled}")


def suggest(
    features: np.ndarray,
    labels: np.ndarray,
    budget: int,
    seed: int,
    confidence: Callable[[], np.ndarray] | None = None,
    copies: Sequence[str] | None = None,
    near: float = NEAR,
) -> Suggestions:
    """Return up to ``budget`` images to label next.

    There are as many clusters as there will be labels, so that each may get one of its own, but no more than one for
    twenty images.

    Args:
        features: (N, D), in which alike images lie close together.
        labels: (N,) given labels, −1 = unlabelled; all −1 is a beginning.
        budget: images to choose.
        seed: of the clusters.
        confidence: gives how sure the class of each image is, (N,); asked only when it is needed, because it may cost
            minutes. Without it, how clearly an image belongs to its cluster.
        copies: (N,) digests of the images: equal ones are never suggested twice, whatever their features.
        near: share of the features' spread up to which two images are near-duplicates.

    Raises:
        UserError: as ``check_budget``.
    """
    check_budget(labels, budget)
    given = int((labels != LEFT_OUT).sum())
    wanted = min(given + budget, max(1, len(labels) // _CLUSTER))
    clusters = kmeans(features, wanted, seed)
    choice = _Choice(features, labels, near, copies)
    for members in _without_label(features, labels, clusters):
        if len(choice.taken) < budget:
            choice.take(members)
    typical, sure = len(choice.taken), None
    if typical < budget:
        sure = clearness(features, clusters) if confidence is None else confidence()
        for image in np.argsort(sure, kind="stable"):
            if len(choice.taken) < budget:
                choice.take(np.array([image]))
    reasons: list[Reason] = ["no label in its cluster"] * typical
    second: Reason = "between clusters" if confidence is None else "least certain"
    reasons += [second] * (len(choice.taken) - typical)
    return Suggestions(np.array(choice.taken, dtype=np.int64), tuple(reasons), clusters, sure)


class _Choice:
    """What is taken, and what may still be: unlabelled, and no near-duplicate of a labelled or a taken image."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, near: float, copies: Sequence[str] | None) -> None:
        self.features, given = features, np.flatnonzero(labels != LEFT_OUT)
        self.limit = near * float(np.sqrt(features.var(axis=0).sum()))
        self.copies = np.unique(copies, return_inverse=True)[1] if copies is not None else np.arange(len(features))
        self.free = (labels == LEFT_OUT) & ~np.isin(self.copies, self.copies[given])
        if len(given):
            with threadpool_limits(1):
                self.free &= pairwise_distances_argmin_min(features, features[given])[1] > self.limit
        self.taken: list[int] = []

    def take(self, images: np.ndarray) -> None:
        """Take the first of ``images`` that is free, if one is; it and all that are too much like it are so no more."""
        free = images[self.free[images]]
        if len(free):
            distance = pairwise_distances(self.features, self.features[free[:1]])[:, 0]
            self.free &= (distance > self.limit) & (self.copies != self.copies[free[0]])
            self.taken.append(int(free[0]))


def _without_label(features: np.ndarray, labels: np.ndarray, clusters: Clusters) -> Iterator[np.ndarray]:
    """Yield the members of each cluster that holds no given label, nearest to its centroid first; large ones first."""
    with_label = np.unique(clusters.assignment[labels != LEFT_OUT])
    distance = np.linalg.norm(features - clusters.centroids[clusters.assignment], axis=1)
    for k in np.argsort(-clusters.sizes, kind="stable"):
        if k not in with_label:
            members = np.flatnonzero(clusters.assignment == k)
            yield members[np.argsort(distance[members], kind="stable")]


def clearness(features: np.ndarray, clusters: Clusters) -> np.ndarray:
    """Return how much nearer each image is to its own centroid than to the next, (N,) in [0, 1]; 0 = half-way.

    >>> two = Clusters(np.array([0, 0, 1]), np.array([[0.0], [4.0]]), 0.0)
    >>> clearness(np.array([[0.0], [2.0], [3.0]]), two).round(2).tolist()
    [1.0, 0.0, 0.67]
    """
    if len(clusters.centroids) == 1:
        return np.ones(len(features))
    with threadpool_limits(1):
        nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(clusters.centroids).kneighbors(features)[0]
    return 1 - nearest[:, 0] / np.maximum(nearest[:, 1], 1e-12)
