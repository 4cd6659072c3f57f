"""The pool of a folder of images: what a person labelled, what is held out of it, and the rest. Shapes: N images."""

import hashlib

import numpy as np

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.runtime.seeds import derive


def held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which labels are hidden from training, for validation, (N,) bool.

    Every n-th label of each class (n = 1 / share) in a seeded order: a class with fewer than n labels gives none,
    because they are worth more in training than as a check.

    Args:
        labels: (N,) classes, −1 where unlabelled.
        share: of the labels, in (0, 0.5]; 0 = none.
        seed: draws the order.
    """
    held = np.zeros(len(labels), dtype=bool)
    if share:
        for order in _orders(labels, derive(seed, "validation")):
            every = round(1 / share)
            held[order[every - 1 :: every]] = True
    return held


def folds(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return in which of ``n`` folds each label is hidden, (N,) in [0, n); −1 where there is none, and for a class's
    only label, which is never hidden."""
    fold = np.full(len(labels), UNLABELLED)
    start = 0
    for order in _orders(labels, derive(seed, "folds")):
        if len(order) > 1:
            fold[order] = (start + np.arange(len(order))) % n
            start += len(order)  # the next class goes on where this one ends: folds are equally large
    return fold


def _orders(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the labelled images of each class in a seeded order."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(np.flatnonzero(labels == c)) for c in range(int(labels.max(initial=-1)) + 1)]


def pool_of(found: FolderImages, hidden: np.ndarray) -> Pool:
    """Return the pool of all images, the labelled ones first, each group in the order of its files.

    Images whose label is hidden are in the pool like those that have none, and their labels are for validation: what
    the method says of them is what it would have said, had nobody labelled them.

    Args:
        found: the folder; ``Pool.sources`` counts its files.
        hidden: (N,) bool, labelled images whose label may not be used.
    """
    given = np.where(hidden, UNLABELLED, found.labels)
    sources = np.concatenate([np.flatnonzero(given != UNLABELLED), np.flatnonzero(given == UNLABELLED)])
    validation = np.flatnonzero(hidden)
    digest = hashlib.sha256(found.images.numpy().tobytes())
    for part in (sources, given[sources], validation, found.labels[validation]):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    _, channels, height, width = found.images.shape
    return Pool(
        images=found.images[sources],
        labels=given[sources],
        validation_images=found.images[validation],
        validation_labels=found.labels[validation],
        sources=sources,
        validation_sources=validation,
        views=("clean",) * len(sources),
        classes=found.classes,
        raw_shape=(channels, height, width),
        digest=digest.hexdigest(),
        ranges=found.ranges,
    )
