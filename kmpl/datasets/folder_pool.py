"""The pool of a folder: given labels, held-out validation labels, and unlabelled images. Shapes: N images."""

import hashlib

import numpy as np

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.runtime.seeds import derive


def validation_mask(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which given labels are held out from training, for validation, (N,) bool. They are no test set.

    Every n-th label of each class is held out (n = 1 / share), in a seeded order. A class with fewer than n labels
    keeps them all, because they are worth more in training than in validation.

    Args:
        labels: (N,) classes, −1 = unlabelled.
        share: share of the labels to hold out, in (0, 0.5]; 0 = none.
        seed: of the order.
    """
    mask = np.zeros(len(labels), dtype=bool)
    if share:
        n = round(1 / share)
        for order in _orders(labels, derive(seed, "validation")):
            mask[order[n - 1 :: n]] = True
    return mask


def folds(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return the fold that hides each label, (N,) in [0, n); −1 = unlabelled, or the only label of its class.

    Args:
        labels: (N,) classes, −1 = unlabelled.
        n: number of folds.
        seed: of the order in which the labels of a class are dealt to the folds.
    """
    fold = np.full(len(labels), UNLABELLED)
    start = 0
    for order in _orders(labels, derive(seed, "folds")):
        if len(order) > 1:
            fold[order] = (start + np.arange(len(order))) % n
            start += len(order)  # the next class continues where this one ends, so folds are equally large
    return fold


def _orders(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the labelled images of each class in a seeded order."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(np.flatnonzero(labels == c)) for c in range(int(labels.max(initial=-1)) + 1)]


UNCHECKED_WEIGHT = 0.5
"""Weight in training of a given label whose image nobody looked at; docs/log/attempts-pictures.md has others."""


def pool_of(folder: FolderImages, hidden: np.ndarray) -> Pool:
    """Return the pool of all images: the labelled ones first, each group in the order of its files.

    Images with a hidden label are in the pool as unlabelled images, and their labels are the pool's validation labels.
    So the method treats them as if nobody had labelled them.

    Args:
        folder: the images and given labels; ``Pool.sources`` are indices of its files.
        hidden: (N,) bool, labelled images whose label the method must not use.
    """
    labels = np.where(hidden, UNLABELLED, folder.labels)
    sources = np.concatenate([np.flatnonzero(labels != UNLABELLED), np.flatnonzero(labels == UNLABELLED)])
    validation = np.flatnonzero(hidden)
    digest = hashlib.sha256(folder.images.numpy().tobytes())
    for part in (sources, labels[sources], validation, folder.labels[validation]):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    certainty = np.where(folder.checked | (labels == UNLABELLED), 1.0, UNCHECKED_WEIGHT)[sources]
    if (certainty < 1).any():
        digest.update(certainty.tobytes())
    _, channels, height, width = folder.images.shape
    side = folder.frozen.side if folder.frozen else 0
    return Pool(
        images=folder.images[sources],
        labels=labels[sources],
        validation_images=folder.images[validation],
        validation_labels=folder.labels[validation],
        sources=sources,
        validation_sources=validation,
        views=("clean",) * len(sources),
        classes=folder.classes,
        raw_shape=(3, side, side) if side else (channels, height, width),
        digest=digest.hexdigest(),
        conversion=folder.conversion,
        frozen=folder.frozen.rows(sources, validation) if folder.frozen else None,
        certainty=certainty if (certainty < 1).any() else None,
    )
