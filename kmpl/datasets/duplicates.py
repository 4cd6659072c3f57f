"""What is in a data set: sizes, label counts, and images that come twice. Shapes: N images, C classes."""

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kmpl.datasets.types import Images


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSummary:
    """The two parts of a data set. Copies are images that are equal pixel by pixel to one before them."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Channels, height and width."""
    counts: dict[str, np.ndarray]
    """Part: (C,) images of each class."""
    copies: dict[str, int]
    """Part: images that are copies of another one of the same part."""
    in_both: int
    """Images of the test part that are in the training part, too."""
    contradicted: int
    """Different images, in either part, that come with more than one label."""

    def warnings(self) -> list[str]:
        """Return what speaks against the data set, a line each."""
        lines = [f"{n:,} images of the {part} part come twice" for part, n in self.copies.items() if n]
        if self.in_both:
            lines.append(
                f"{self.in_both:,} images of the test part are in the training part, too: accuracy on them is memory"
            )
        if self.contradicted:
            lines.append(f"{self.contradicted:,} images come with more than one label")
        return lines


def summarize(train: Images, test: Images) -> DataSummary:
    """Return what is in the training part and the test part of a data set."""
    parts = {"training": train, "test": test}
    digests = {part: digests_of(data.images) for part, data in parts.items()}
    labels_of: dict[bytes, set[int]] = {}
    for part, data in parts.items():
        for digest, label in zip(digests[part], data.labels.tolist(), strict=True):
            labels_of.setdefault(digest, set()).add(label)
    in_training = set(digests["training"])
    return DataSummary(
        classes=train.classes,
        shape=tuple(train.images.shape[1:]),
        counts={part: np.bincount(data.labels.numpy(), minlength=len(train.classes)) for part, data in parts.items()},
        copies={part: len(found) - len(set(found)) for part, found in digests.items()},
        in_both=sum(digest in in_training for digest in digests["test"]),
        contradicted=sum(len(labels) > 1 for labels in labels_of.values()),
    )


def digests_of(images: Tensor) -> list[bytes]:
    """Return a digest of the pixels of each image of (N, channels, height, width) uint8.

    >>> import torch
    >>> one, two, three = digests_of(torch.tensor([[[[1, 2]]], [[[2, 1]]], [[[1, 2]]]], dtype=torch.uint8))
    >>> one == three, one == two
    (True, False)
    """
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.contiguous().numpy()]
