"""What turns raw images into probabilities, whatever computes it; nothing here needs PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kmpl.images.conversion import PLAIN, Conversion
from kmpl.images.decoding import read_picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """A trained model as a function of arrays, and what it wants to be given."""

    classes: tuple[str, ...]
    """Names of the C classes."""
    raw_shape: tuple[int, int, int]
    """Channels, height and width of the images that it takes."""
    classify: Callable[[np.ndarray], np.ndarray]
    """(B, height, width) uint8 if grey, else (B, height, width, 3) → probabilities (B, C) float32."""
    conversion: Conversion = PLAIN
    """How the pictures that it was trained on became pixels."""
    unknown: set[str] = field(default_factory=set, compare=False)
    """Kinds of pictures of more than 8 bits that were read and whose range is not known."""

    def read(self, path: Path) -> np.ndarray:
        """Return one picture as ``classify`` takes it, without the batch axis.

        Raises:
            PictureError: it cannot be read.
        """
        channels, height, width = self.raw_shape
        pixels = read_picture(path, (height, width), channels, self.conversion, self.unknown.add)
        return pixels[..., 0] if channels == 1 else pixels


def probes(raw_shape: tuple[int, int, int], n: int = 24) -> np.ndarray:
    """Return images on which two models are compared: noise of several kinds, fine to coarse, and black and white.

    They are n + 2, (B, height, width[, 3]) uint8, the same at each call.
    """
    rng = np.random.default_rng(0)
    channels, height, width = raw_shape
    images = [np.zeros((height, width, channels)), np.ones((height, width, channels))]
    for i in range(n):
        grain = 2 ** (i % 4)  # pixels of the side of a spot
        spots = rng.random((-(-height // grain), -(-width // grain), channels)) ** (1 + i % 3)
        images.append(spots.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width])
    batch = (np.stack(images) * 255).astype(np.uint8)
    return batch[..., 0] if channels == 1 else batch


def largest_difference(one: Classifier, other: Classifier) -> float:
    """Return the largest difference of any probability on ``probes``, all at once and one image alone."""
    images = probes(one.raw_shape)
    pairs = [(one.classify(batch), other.classify(batch)) for batch in (images, images[2:3])]
    return max(float(np.abs(a - b).max()) for a, b in pairs)
