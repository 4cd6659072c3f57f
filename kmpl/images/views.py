"""Views: clean, noise, rotation and blur, as pure functions of a batch of images and a random generator.

Shapes: B images, float in [0, 1], (B, channels, height, width). Random numbers are drawn on the CPU, whatever the
device of the images, so that a seed means the same everywhere.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from kmpl.images.transforms import affine_matrices, gaussian_blur, random_flips, uniform, warp

View = Callable[[Tensor, Generator], Tensor]


def clean(images: Tensor, generator: Generator) -> Tensor:  # noqa: ARG001  (all views take the same arguments)
    """Return the images as they are."""
    return images


def noise(images: Tensor, generator: Generator) -> Tensor:
    """Random flips, then + N(0, 0.1²) per pixel."""
    flipped = random_flips(images, generator)
    return flipped + 0.1 * torch.randn(images.shape, generator=generator).to(images.device)


def rotation(images: Tensor, generator: Generator) -> Tensor:
    """Random rotation within ±15°, nearest pixel, as ``torchvision.transforms.RandomRotation(15)``."""
    n, zero = len(images), torch.zeros(len(images))
    turn = affine_matrices(uniform(n, -15, 15, generator), torch.zeros(n, 2), zero + 1, zero)
    return warp(images, turn, mode="nearest")


def blur(images: Tensor, generator: Generator) -> Tensor:
    """Random flips, then a 3 × 3 Gaussian blur, σ drawn from 0.1 to 2.0 pixels."""
    flipped = random_flips(images, generator)
    return gaussian_blur(flipped, uniform(len(images), 0.1, 2.0, generator))


VIEWS: dict[str, View] = {"clean": clean, "noise": noise, "rotation": rotation, "blur": blur}
MIRRORING = ("noise", "blur")
"""Views that mirror at random."""
