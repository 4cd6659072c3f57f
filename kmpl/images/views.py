"""Views: clean, noise, rotation and blur, as pure functions of a batch of images and a random generator.

Shapes: B images, float in [0, 1], (B, channels, height, width). Random numbers are drawn on the CPU, whatever the
device of the images, so that a seed means the same everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from kmpl.config.choices import by_name
from kmpl.images.transforms import affine_matrices, gaussian_blur, random_flips, uniform, warp


def clean(images: Tensor, generator: Generator) -> Tensor:  # noqa: ARG001  (all views take the same arguments)
    """Return the images as they are."""
    return images


def noise(images: Tensor, generator: Generator) -> Tensor:
    """Random flips, then + N(0, 0.1²) per pixel."""
    flipped = random_flips(images, generator)
    return flipped + 0.1 * torch.randn(images.shape, generator=generator).to(images.device)


def rotation(images: Tensor, generator: Generator) -> Tensor:
    """Random rotation within ±15°, nearest pixel, as ``torchvision.transforms.RandomRotation(15)``."""
    n = len(images)
    degrees = uniform(n, -15, 15, generator)
    turn = affine_matrices(degrees, torch.zeros(n, 2), torch.ones(n), torch.zeros(n))
    return warp(images, turn, mode="nearest")


def blur(images: Tensor, generator: Generator) -> Tensor:
    """Random flips, then a 3 × 3 Gaussian blur, σ drawn from 0.1 to 2.0 pixels."""
    flipped = random_flips(images, generator)
    return gaussian_blur(flipped, uniform(len(images), 0.1, 2.0, generator))


@dataclass(frozen=True, slots=True)
class View:
    """One way of showing images."""

    name: str
    show: Callable[[Tensor, Generator], Tensor]
    """Images (B, channels, height, width) and random numbers → the images in this view, same shape."""
    mirrors: bool = False
    """It mirrors at random: training may then show the images mirrored anew."""


VIEWS = by_name(
    View("clean", clean),
    View("noise", noise, mirrors=True),
    View("rotation", rotation),
    View("blur", blur, mirrors=True),
)
"""A new view is a function and one record here; the protocols of ``kmpl.datasets.pool`` name those that they show."""
