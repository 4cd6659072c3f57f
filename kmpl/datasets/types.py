"""Types of a data set and a pool. Shapes: N images, V validation images, C classes."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor, nn

from kmpl.images.conversion import PLAIN, Conversion

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
    conversion: Conversion = PLAIN
    """How the files became pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenFeatures:
    """Features of images by a network that learnt elsewhere: no label changes them. D feature dimension."""

    values: np.ndarray = field(repr=False)
    """(N, D) float32, of length one."""
    validation: np.ndarray = field(repr=False)
    """(V, D) of the validation images."""
    root: bool
    """Square roots were taken of the backbone's numbers."""
    name: str
    """Of the backbone, as a setting names it."""
    backbone: nn.Module | None = field(default=None, repr=False)
    """Images → its numbers; None where the features are from a file."""
    side: int = 0
    """Side of the images that the backbone sees, pixels; 0 where the features are from a file."""
    graph: csr_array | None = field(default=None, repr=False)
    """(N, N) sparse: how near images are to their nearest neighbours."""
    clusterings: tuple[np.ndarray, ...] = field(default=(), repr=False)
    """Cluster of each image, (N,), in several clusterings."""

    def rows(self, images: np.ndarray, validation: np.ndarray) -> "FrozenFeatures":
        """Return the images in another order, by index, and features of some of them for validation."""
        return replace(
            self,
            values=self.values[images],
            validation=self.values[validation],
            graph=None if self.graph is None else self.graph[images][:, images],
            clusterings=tuple(assignment[images] for assignment in self.clusterings),
        )


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
    conversion: Conversion = PLAIN
    """How the files became pixels."""
    frozen: FrozenFeatures | None = None
    """Features of a backbone; None where a network learns its own."""
    certainty: np.ndarray | None = None
    """(N,) in (0, 1]: weight of each given label in training, 1 for an unlabelled image; None = each has 1."""

    @property
    def seen_side(self) -> int:
        """Side of the images that the network sees, pixels."""
        return (self.frozen.side if self.frozen else 0) or self.images.shape[-1]

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: images with a given label."""
        return self.labels != UNLABELLED

    @property
    def budget(self) -> int:
        """Labelled budget: distinct images with a given label, validation included."""
        return len(np.unique(self.sources[self.labelled])) + len(np.unique(self.validation_sources))
