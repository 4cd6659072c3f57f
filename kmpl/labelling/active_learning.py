"""Active learning: which images a person should label next. Shapes: N images, D feature dimension, S suggestions.

Typical images come first: the image nearest to the centroid of each cluster without a given label, large clusters
first. Few labels help most where they cover all clusters. Images that the method is least certain of come after that,
when every cluster has a label. Near-duplicates are never suggested, neither of each other nor of labelled images.

Sources: Hacohen et al. 2022, "Active learning on a budget: opposite strategies suit high and low budgets",
https://arxiv.org/abs/2202.02794; Yehuda et al. 2022, "Active learning through a covering lens",
https://arxiv.org/abs/2205.11320.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin_min
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED
from kmpl.errors import SettingError, UserError
from kmpl.method.kmeans import kmeans
from kmpl.method.results import Clusters

Reason = Literal["no label in its cluster", "least certain", "between clusters"]

NEAR_DUPLICATE_DISTANCE = 0.1
"""Distance up to which two images are near-duplicates, as a share of the spread of all features.

Measured: docs/log/attempts-labelling.md.
"""
_MIN_IMAGES_PER_CLUSTER = 20  # on average: smaller clusters are chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestions:
    """Images to label next, the most useful first."""

    images: np.ndarray
    """(S,) indices; fewer than the budget if all other images are near-duplicates."""
    reasons: tuple[Reason, ...]
    """(S,) why each image is suggested."""
    clusters: Clusters
    """K-means clusters of all N images."""
    confidence: np.ndarray | None = None
    """(N,) confidence of each image's most likely class; None if no image was chosen by confidence."""


def check_budget(labels: np.ndarray, budget: int) -> None:
    """Refuse a budget that exceeds the number of unlabelled images; labels (N,), −1 = unlabelled.

    Raises:
        UserError: the budget is below 1, no image is unlabelled, or fewer images are than the budget.
    """
    unlabelled = int((labels == UNLABELLED).sum())
    if budget < 1:
        raise SettingError("budget", budget, "", line=f"budget {budget}: give at least 1")
    if not unlabelled:
        raise UserError(f"all {len(labels)} images are labelled: there is nothing to suggest")
    if budget > unlabelled:
        raise SettingError("budget", budget, f"{unlabelled} images have no label", f"1 to {unlabelled}")


def suggest(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    budget: int,
    seed: int,
    confidence: Callable[[], np.ndarray] | None = None,
    digests: Sequence[str] | None = None,
    near: float = NEAR_DUPLICATE_DISTANCE,
) -> Suggestions:
    """Return up to ``budget`` images to label next.

    Args:
        features: (N, D); similar images lie close together.
        labels: (N,) given labels, −1 = unlabelled; all may be −1.
        budget: images to choose.
        seed: of K-means.
        confidence: returns the confidence of each image's most likely class, (N,). It is called only if needed, because
            it may take minutes. If None, ``centroid_margin`` stands in for it.
        digests: (N,) digests of the images: of images with equal digests, one at most is suggested.
        near: distance up to which two images are near-duplicates, as a share of the features' spread.

    Raises:
        UserError: as ``check_budget``.
    """
    check_budget(labels, budget)
    clusters = kmeans(features, clusters_for(labels, budget), seed=seed)
    near_distance = near * float(np.sqrt(features.var(axis=0).sum()))
    selection = Selection(features, labels, near_distance=near_distance, digests=digests)
    selection.add(_unlabelled_clusters(features, labels, clusters), limit=budget)
    n_typical = len(selection.images)
    certainty = None
    typical: Reason = "no label in its cluster"
    uncertain: Reason = "between clusters" if confidence is None else "least certain"
    if n_typical < budget:
        certainty = centroid_margin(features, clusters) if confidence is None else confidence()
        selection.add(np.argsort(certainty, kind="stable")[:, None], limit=budget)
    n_uncertain = len(selection.images) - n_typical
    return Suggestions(
        images=np.array(selection.images, dtype=np.int64),
        reasons=(*n_typical * (typical,), *n_uncertain * (uncertain,)),
        clusters=clusters,
        confidence=certainty,
    )


def clusters_for(labels: np.ndarray, budget: int) -> int:
    """Return the number of labels after this round of labelling, so that each cluster may get one; at most N / 20."""
    n_labels = int((labels != UNLABELLED).sum())
    return min(n_labels + budget, max(1, len(labels) // _MIN_IMAGES_PER_CLUSTER))


class Selection:
    """The images chosen so far, and the candidates: unlabelled, no near-duplicate of a labelled or a chosen image."""

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, *, near_distance: float, digests: Sequence[str] | None
    ) -> None:
        n = len(features)
        labelled = np.flatnonzero(labels != UNLABELLED)
        self.features = features
        self.near_distance = near_distance
        self.content = np.unique(digests, return_inverse=True)[1] if digests is not None else np.arange(n)
        self.candidates = (labels == UNLABELLED) & ~np.isin(self.content, self.content[labelled])
        if len(labelled):
            with threadpool_limits(1):
                self.candidates &= pairwise_distances_argmin_min(features, features[labelled])[1] > self.near_distance
        self.images: list[int] = []

    def add(self, groups: Iterable[np.ndarray], *, limit: int) -> None:
        """Choose the first candidate of each group of images, until ``limit`` images are chosen."""
        for images in groups:
            if len(self.images) >= limit:
                return
            candidates = images[self.candidates[images]]
            if len(candidates):
                self._choose(candidates[0])

    def _choose(self, image: int) -> None:
        """Choose an image; its near-duplicates are candidates no more."""
        distance = pairwise_distances(self.features, self.features[[image]])[:, 0]
        self.candidates &= (distance > self.near_distance) & (self.content != self.content[image])
        self.images.append(int(image))


def _unlabelled_clusters(features: np.ndarray, labels: np.ndarray, clusters: Clusters) -> Iterator[np.ndarray]:
    """Yield the members of each cluster without a given label, nearest to its centroid first; large clusters first."""
    labelled_clusters = np.unique(clusters.assignment[labels != UNLABELLED])
    distance = np.linalg.norm(features - clusters.centroids[clusters.assignment], axis=1)
    for k in np.argsort(-clusters.sizes, kind="stable"):
        if k not in labelled_clusters:
            members = np.flatnonzero(clusters.assignment == k)
            yield members[np.argsort(distance[members], kind="stable")]


def centroid_margin(features: np.ndarray, clusters: Clusters) -> np.ndarray:
    """Return how much nearer each image is to its own centroid than to the next, (N,) in [0, 1]; 0 = half-way.

    >>> two = Clusters(assignment=np.array([0, 0, 1]), centroids=np.array([[0.0], [4.0]]), inertia=0.0)
    >>> centroid_margin(np.array([[0.0], [2.0], [3.0]]), two).round(2).tolist()
    [1.0, 0.0, 0.67]
    """
    if len(clusters.centroids) == 1:
        return np.ones(len(features))
    with threadpool_limits(1):
        nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(clusters.centroids).kneighbors(features)[0]
    return 1 - nearest[:, 0] / np.maximum(nearest[:, 1], 1e-12)
