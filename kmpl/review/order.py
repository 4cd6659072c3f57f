"""Which cluster and which image come next. Shapes: N images, D feature dimension, C classes, k neighbours.

Whatever is said here comes from nearest neighbours: an image whose neighbours are called alike is hardly doubtful, and
a cluster whose members' neighbours lie in it is probably of one class.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED

NEIGHBOURS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What the labelled neighbours of each image would call it."""

    classes: np.ndarray
    """(N,) int64; −1 where no neighbour has a label."""
    shares: np.ndarray
    """(N,) in [0, 1): share of the votes, with one vote for "something else"; 0 where no neighbour has a label."""
    of_own: np.ndarray
    """(N,) in [0, 1): the same share, for the label that the image has; 0 where it has none."""


def neighbours(features: np.ndarray) -> np.ndarray:
    """Return the nearest other images of each image, (N, k) int64, nearest first; fewer images give fewer."""
    k = min(NEIGHBOURS, len(features) - 1)
    if k < 1:
        return np.empty((len(features), 0), dtype=np.int64)
    with threadpool_limits(1):  # on one thread, distances are the same to the last bit
        return np.asarray(
            NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features).kneighbors(return_distance=False)
        )


def votes(near: np.ndarray, labels: np.ndarray, n_classes: int) -> Votes:
    """Return what the neighbours say; an image has no vote on itself.

    Args:
        near: (N, k) nearest other images of each.
        labels: (N,) classes, −1 = without a label.
        n_classes: C.

    >>> near = np.array([[1, 2], [0, 2], [1, 0]])
    >>> votes(near, np.array([0, 0, -1]), 1).shares.astype(float).round(2).tolist()
    [0.5, 0.5, 0.67]
    """
    n = len(labels)
    if not n_classes or not near.size:
        return Votes(classes=np.full(n, UNLABELLED), shares=np.zeros(n), of_own=np.zeros(n))
    counts = np.zeros((n, n_classes), dtype=np.float32)
    rows = np.arange(n)
    for column in labels[near].T:
        voting = column != UNLABELLED
        counts[rows[voting], column[voting]] += 1
    total = counts.sum(axis=1)
    shares = counts / (total + 1)[:, None]
    best = shares.argmax(axis=1)
    has_label = labels != UNLABELLED
    return Votes(
        classes=np.where(total > 0, best, UNLABELLED),
        shares=shares[rows, best],
        of_own=np.where(has_label, shares[rows, np.maximum(labels, 0)], 0.0),
    )


def purity(near: np.ndarray, members: np.ndarray) -> float:
    """Return a guess, in [0, 1], of how far a cluster is of one class; 1 for a cluster of one image.

    It is the squared share of the members' nearest neighbours that are members, too. Ordered by it and by size, a third
    of the keys names 58, 61 and 61 % of what can be named at all in 361 stamps, 983 clip arts and 1,000 digits; by size
    alone 47, 38 and 56 %.

    Args:
        near: (N, k) nearest other images of each.
        members: indices of the cluster's images.
    """
    k = min(near.shape[1], len(members) - 1)
    if k < 1:
        return 1.0
    return float(np.isin(near[members, :k], members).mean() ** 2)


def by_distance(features: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return a cluster's members, the nearest to their mean first.

    Args:
        features: (N, D).
        members: indices of the cluster's images.
    """
    own = features[members].astype(np.float64)
    return members[np.argsort(np.linalg.norm(own - own.mean(axis=0), axis=1), kind="stable")]


def by_doubt(said: Votes, labels: np.ndarray) -> np.ndarray:
    """Return all images, (N,), the most doubtful first.

    First come images with a label that their neighbours contradict, then those whose neighbours disagree. An image
    without a label comes where its most likely class would put it, after images as doubtful that have one.

    Args:
        said: by the neighbours.
        labels: (N,) classes, −1 = without a label.
    """
    has_label = labels != UNLABELLED
    certainty = np.where(has_label, said.of_own, said.shares)
    return np.lexsort((~has_label, certainty))


def suspicious(said: Votes, labels: np.ndarray) -> np.ndarray:
    """Return which labels look like another class, (N,) bool: more than half of the neighbours' votes say so.

    Args:
        said: by the neighbours.
        labels: (N,) classes, −1 = without a label.
    """
    return (labels != UNLABELLED) & (said.classes != labels) & (said.shares > 0.5)


def shuffled(files: Iterable[str]) -> list[str]:
    """Return files in an order that is as good as random, and that more files do not change.

    >>> shuffled(["a", "b", "c"]) == [file for file in shuffled(["a", "b", "c", "d"]) if file != "d"]
    True
    """
    return sorted(files, key=lambda file: hashlib.sha256(file.encode()).digest())
