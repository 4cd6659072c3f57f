"""What a data set and a pool are made of. Shapes: N images, C channels, H × W pixels."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

UNLABELLED = -1  # scikit-learn's own mark for "not labelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Images with their labels, as a data set gives them."""

    images: Tensor
    """(N, channels, height, width), uint8."""
    labels: Tensor
    """(N,), int64."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Which numbers were black and white in files of more than 8 bits, by kind of picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The training images as the method may see them: true labels of unlabelled images are not in here."""

    images: Tensor
    """(N, channels, height, width), uint8: the labelled images first, then the unlabelled ones."""
    labels: np.ndarray
    """(N,) int64: given labels, −1 where unlabelled."""
    validation_images: Tensor
    """(V, channels, height, width), uint8, out of the labelled budget."""
    validation_labels: np.ndarray
    """(V,) int64."""
    sources: np.ndarray
    """(N,) index of each image in the data set."""
    validation_sources: np.ndarray
    """(V,) index of each validation image in the data set."""
    views: tuple[str, ...]
    """(N,) the view each image is seen in."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    raw_shape: tuple[int, int, int]
    """Channels, height and width of an image as the data set stores it, before any resizing."""
    digest: str
    """SHA-256 of images, sources, views and split."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Which numbers were black and white in files of more than 8 bits, by kind of picture."""

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: where a label is given."""
        return self.labels != UNLABELLED

    @property
    def budget(self) -> int:
        """Distinct images a person had to label: labelled and validation."""
        return len(np.unique(self.sources[self.labelled])) + len(np.unique(self.validation_sources))
