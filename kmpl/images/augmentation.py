"""Augmentation: random changes of the training images, drawn anew in each epoch. Shapes: B images."""

import math
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from kmpl.config.experiment import Augmentation
from kmpl.images.transforms import affine_matrices, flip, gaussian_blur, uniform, warp


def redraw_views(images: Tensor, mirrored: Tensor, share: float, generator: Generator) -> Tensor:
    """Mirror the images of mirroring views anew, and show a share of the other images in the view ``blur``.

    Args:
        images: B images.
        mirrored: (B,) bool: images in a view that mirrors at random.
        share: share of the other images, in [0, 1].
        generator: of all random numbers.
    """
    n = len(images)
    blur = ~mirrored & (torch.rand(n, generator=generator) < share).to(mirrored.device)
    flips = (torch.rand(2, n, generator=generator) < 0.5).to(mirrored.device) & (mirrored | blur)
    flipped = flip(images, flips[0], flips[1])
    blurred = gaussian_blur(flipped, uniform(n, 0.1, 2.0, generator))
    return torch.where(blur[:, None, None, None], blurred, flipped)


def elastic_displacement(n: int, height: int, width: int, *, sd: float, points: int, generator: Generator) -> Tensor:
    """Return smooth random displacements, (n, height, width, 2) in pixels, from ``points`` × ``points`` normal draws.

    Source: Simard et al. 2003, smoothed by interpolation rather than by convolution.
    """
    coarse = sd * torch.randn(n, 2, points, points, generator=generator)
    return (_bicubic(height, points) @ coarse @ _bicubic(width, points).T).permute(0, 2, 3, 1)


@cache
def _bicubic(pixels: int, points: int) -> Tensor:
    """Return the weights (pixels, points) of bicubic interpolation: as matrix products it takes a tenth of the time."""
    return interpolate(torch.eye(points)[None, None], (pixels, points), mode="bicubic", align_corners=True)[0, 0]


def _crop(matrices: Tensor, share: float, height: int, width: int, generator: Generator) -> Tensor:
    """Compose ``matrices`` with a random crop that keeps at least ``share`` of each side and fills the frame."""
    side = uniform(len(matrices), share, 1, generator)
    room = (1 - side)[:, None] * torch.tensor([width / 2, height / 2])
    centre = (2 * torch.rand(len(matrices), 2, generator=generator) - 1) * room
    linear = matrices[:, :, :2] * side[:, None, None]
    return torch.cat([linear, matrices[:, :, :2] @ centre[:, :, None] + matrices[:, :, 2:]], dim=2)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Set a square of ``side`` pixels at a random position of each image to zero.

    Source: DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """
    height, width = images.shape[-2:]
    top, left = torch.rand(2, len(images), 1, generator=generator) * torch.tensor([[[height]], [[width]]]) - side / 2
    rows = torch.arange(height) - top
    columns = torch.arange(width) - left
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return images.masked_fill(inside[:, None].to(images.device), 0)


def lighting(images: Tensor, brightness: float, contrast: float, generator: Generator) -> Tensor:
    """Change contrast and brightness of each image at random within the limits, and clip to [0, 1]."""
    n = len(images)
    factor = torch.exp(uniform(n, -1, 1, generator) * math.log1p(contrast)).to(images.device)
    shift = uniform(n, -brightness, brightness, generator).to(images.device)
    return (images * factor[:, None, None, None] + shift[:, None, None, None]).clamp(0, 1)


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Return the images changed at random: one warp for affine, elastic and crop, then lighting, cutout and flip."""
    n = len(images)
    height, width = images.shape[-2:]
    s = settings
    f = settings.strength
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * (f * s.translate) * torch.tensor([width, height])
    scale = torch.exp(uniform(n, -1, 1, generator) * math.log1p(f * s.scale))
    degrees = uniform(n, -f * s.degrees, f * s.degrees, generator)
    shear = uniform(n, -f * s.shear, f * s.shear, generator)
    matrices = affine_matrices(degrees, shift, scale, shear)
    if s.crop < 1:
        matrices = _crop(matrices, s.crop, height, width, generator)
    bend = None
    if f * s.elastic:
        bend = elastic_displacement(n, height, width, sd=f * s.elastic, points=s.elastic_grid, generator=generator)
    if bend is not None or f * max(s.degrees, s.translate, s.scale, s.shear) > 0 or s.crop < 1:
        images = warp(images, matrices, bend)
    if f * max(s.brightness, s.contrast) > 0:
        images = lighting(images, f * s.brightness, f * s.contrast, generator)
    if s.cutout:
        images = cutout(images, s.cutout, generator)
    if s.flip:
        images = flip(images, torch.rand(n, generator=generator) < 0.5, torch.zeros(n, dtype=torch.bool))
    return images
