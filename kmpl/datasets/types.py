"""Types of a data set and a pool. Shapes: N images, V validation images, C classes."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

UNLABELLED = -1
"""Label of an image without a label, and of a pseudo-label that was left out; scikit-learn's own mark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """The images and labels of one part of a data set."""

    images: Tensor
    """(N, channels, height, width), uint8."""
    labels: Tensor
    """(N,), int64."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Pixel values of black and white in files of more than 8 bits, by kind of picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The training images with the labels that the method may see: no true label of an unlabelled image."""

    images: Tensor
    """(N, channels, height, width), uint8: the labelled images first, then the unlabelled ones."""
    labels: np.ndarray
    """(N,) int64: given labels, −1 where unlabelled."""
    validation_images: Tensor
    """(V, channels, height, width), uint8: a part of the labelled budget, held out from training."""
    validation_labels: np.ndarray
    """(V,) int64: the held-out validation labels, never the test set's."""
    sources: np.ndarray
    """(N,) index of each image in the data set."""
    validation_sources: np.ndarray
    """(V,) index of each validation image in the data set."""
    views: tuple[str, ...]
    """(N,) view of each image."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    raw_shape: tuple[int, int, int]
    """Channels, height and width of an image in the data set, before any resizing."""
    digest: str
    """SHA-256 of images, sources, views and split."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Pixel values of black and white in files of more than 8 bits, by kind of picture."""

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: images with a given label."""
        return self.labels != UNLABELLED

    @property
    def budget(self) -> int:
        """Labelled budget: distinct images with a given label, validation included."""
        return len(np.unique(self.sources[self.labelled])) + len(np.unique(self.validation_sources))
