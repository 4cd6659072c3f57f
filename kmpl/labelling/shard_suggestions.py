"""Active learning on features in shards: ``kmpl.labelling.active_learning`` on a bounded number of candidates.

Of each cluster the images nearest to its centroid are candidates, and after them the images that are least certain of
all. Shapes: N images, n of them in a shard, D feature dimension, K clusters, P candidates, S suggestions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kmpl.datasets.types import UNLABELLED
from kmpl.labelling.active_learning import (
    NEAR_DUPLICATE_DISTANCE,
    Reason,
    Selection,
    centroid_margin,
    check_budget,
    clusters_for,
)
from kmpl.method.results import Clusters
from kmpl.method.shard_kmeans import Shards, each, kmeans_of_shards, nearest_and_distance, rows, split
from kmpl.runtime.seeds import derive

_PER_CLUSTER = 32
"""Candidates of a cluster: where all are near-duplicates of labelled images, it gets no suggestion."""
_PER_UNCERTAIN = 20
"""Uncertain candidates for each image that is still to be chosen."""
_TYPICAL: Reason = "no label in its cluster"
_MOST_CLUSTERS = 1_000
_MOST_LABELLED = 20_000  # images with a label that candidates are compared with


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSuggestions:
    """Images to label next, the most useful first."""

    images: np.ndarray
    """(S,) indices."""
    reasons: tuple[Reason, ...]
    clusters: np.ndarray
    """(S,) the cluster of each."""
    confidence: np.ndarray | None
    """(N,) of each image's most likely class; None if no image was chosen by it."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Images near centroids, in the order of their clusters and distances."""

    images: np.ndarray
    clusters: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one shard says of clusters."""

    candidates: _Candidates
    sizes: np.ndarray
    labelled: np.ndarray
    """(K,) bool: a labelled image is in the cluster."""
    sums: np.ndarray
    squares: float


def suggest_in_shards(
    features: Shards,
    labels: np.ndarray,
    *,
    budget: int,
    seed: int,
    digests: Sequence[str],
    confidence: Callable[[], np.ndarray] | None = None,
) -> ShardSuggestions:
    """Return up to ``budget`` images to label next.

    Args:
        features: (n, D) of each shard.
        labels: (N,) given labels, −1 = unlabelled; all may be −1.
        budget: images to choose.
        seed: of K-means.
        digests: (N,) digests of the images: of images with equal digests, one at most is suggested.
        confidence: returns the confidence of each image's most likely class, (N,); called only if needed. If None,
            ``centroid_margin`` stands in for it.

    Raises:
        UserError: as ``check_budget``.
    """
    check_budget(labels, budget)
    centroids = kmeans_of_shards(features, min(clusters_for(labels, budget), _MOST_CLUSTERS), seed=seed)
    seen = _looked_at(features, labels, centroids)
    spread = seen.squares / len(labels) - float(np.square(seen.sums / len(labels)).sum())
    near = NEAR_DUPLICATE_DISTANCE * float(np.sqrt(max(spread, 0.0)))
    known = _some_labelled(labels, seed)
    choose = partial(_chosen, features, digests=digests, near=near)
    typical = choose(_typical(seen), known, limit=budget)
    chosen, certainty, missing = typical, None, budget - len(typical)
    if missing:
        certainty = _margins(features, centroids) if confidence is None else confidence()
        rest = np.flatnonzero(labels == UNLABELLED)
        least = rest[np.argsort(certainty[rest], kind="stable")][: _PER_UNCERTAIN * missing + len(typical)]
        more = choose(least[:, None], np.concatenate([known, typical]), limit=missing)
        chosen = np.concatenate([typical, more])
    found, _ = nearest_and_distance(_in_order(features, chosen), centroids)
    then: Reason = "between clusters" if confidence is None else "least certain"
    reasons: list[Reason] = [*len(typical) * [_TYPICAL], *(len(chosen) - len(typical)) * [then]]
    return ShardSuggestions(images=chosen, reasons=tuple(reasons), clusters=found, confidence=certainty)


def _typical(seen: _Seen) -> list[np.ndarray]:
    """Return the images nearest to the centroid of each cluster without a label, large clusters first."""
    order = np.argsort(-seen.sizes, kind="stable")
    return [seen.candidates.images[seen.candidates.clusters == k] for k in order if not seen.labelled[k]]


def _margins(features: Shards, centroids: np.ndarray) -> np.ndarray:
    """Return ``centroid_margin`` of all images, (N,)."""
    clusters = Clusters(assignment=np.empty(0, dtype=np.int64), centroids=centroids, inertia=0.0)
    return np.concatenate(list(each(lambda x: centroid_margin(np.asarray(x, np.float32), clusters), features)))


def _looked_at(features: Shards, labels: np.ndarray, centroids: np.ndarray) -> _Seen:
    """Return what all shards together say of the clusters."""
    k = len(centroids)
    starts = np.concatenate([[0], np.cumsum([len(shard) for shard in features])[:-1]])

    def look(shard: np.ndarray, given: np.ndarray, start: int) -> _Seen:
        found, distances = nearest_and_distance(shard, centroids)
        free = np.flatnonzero(given == UNLABELLED)
        values = np.asarray(shard, dtype=np.float32)
        return _Seen(
            _nearest_of_each(_Candidates(start + free, found[free], distances[free])),
            np.bincount(found, minlength=k),
            np.bincount(found[given != UNLABELLED], minlength=k) > 0,
            values.sum(axis=0, dtype=np.float64),
            float(np.square(values).sum(dtype=np.float64)),
        )

    none = np.zeros(0, dtype=np.int64)
    whole = _Seen(_Candidates(none, none, np.zeros(0)), np.zeros(k, int), np.zeros(k, bool), np.zeros(1), 0.0)
    for part in each(look, features, split(labels, features), list(map(int, starts))):
        both = _Candidates(
            np.concatenate([whole.candidates.images, part.candidates.images]),
            np.concatenate([whole.candidates.clusters, part.candidates.clusters]),
            np.concatenate([whole.candidates.distances, part.candidates.distances]),
        )
        whole = _Seen(
            _nearest_of_each(both),
            whole.sizes + part.sizes,
            whole.labelled | part.labelled,
            whole.sums + part.sums,
            whole.squares + part.squares,
        )
    return whole


def _nearest_of_each(all_of: _Candidates) -> _Candidates:
    """Return the candidates nearest to the centroid of each cluster."""
    order = np.lexsort((all_of.images, all_of.distances, all_of.clusters))
    clusters = all_of.clusters[order]
    rank = np.arange(len(order)) - np.searchsorted(clusters, clusters, side="left")
    kept = order[rank < _PER_CLUSTER]
    return _Candidates(all_of.images[kept], all_of.clusters[kept], all_of.distances[kept])


def _some_labelled(labels: np.ndarray, seed: int) -> np.ndarray:
    given = np.flatnonzero(labels != UNLABELLED)
    if len(given) <= _MOST_LABELLED:
        return given
    return np.sort(np.random.default_rng(derive(seed, "labelled")).choice(given, _MOST_LABELLED, replace=False))


def _chosen(
    features: Shards,
    groups: Sequence[np.ndarray] | np.ndarray,
    known: np.ndarray,
    *,
    digests: Sequence[str],
    near: float,
    limit: int,
) -> np.ndarray:
    """Return the first image of each group that is no near-duplicate of a known or a chosen one."""
    candidates = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    images = np.concatenate([known, candidates])
    flags = np.where(np.arange(len(images)) < len(known), 0, UNLABELLED)
    selection = Selection(_in_order(features, images), flags, near_distance=near, digests=[digests[i] for i in images])
    ends = len(known) + np.cumsum([len(group) for group in groups])
    selection.add((np.arange(end - len(group), end) for group, end in zip(groups, ends, strict=True)), limit=limit)
    return images[np.array(selection.images, dtype=np.int64)]


def _in_order(features: Shards, images: np.ndarray) -> np.ndarray:
    """Return the features (P, D) float32 of images in any order."""
    order = np.argsort(images, kind="stable")
    found = rows(features, images[order])
    result = np.empty_like(found)
    result[order] = found
    return result
