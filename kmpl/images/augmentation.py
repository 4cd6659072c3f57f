"""Random changes that a network sees while it learns, drawn anew in each epoch."""

import math
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from kmpl.config.experiment import Augmentation
from kmpl.images.transforms import affine_matrices, flip, gaussian_blur, uniform, warp


def seen_anew(images: Tensor, mirrored: Tensor, share: float, generator: Generator) -> Tensor:
    """Mirror anew what a view has mirrored, and show a share of the others in the view ``blur``.

    Args:
        images: B images.
        mirrored: (B,) bool: in a view that mirrors at random.
        share: of the others, in [0, 1].
        generator: of all that is drawn.
    """
    n = len(images)
    other = ~mirrored & (torch.rand(n, generator=generator) < share).to(mirrored.device)
    again = (torch.rand(2, n, generator=generator) < 0.5).to(mirrored.device) & (mirrored | other)
    turned = flip(images, again[0], again[1])
    blurred = gaussian_blur(turned, uniform(n, 0.1, 2.0, generator))
    return torch.where(other[:, None, None, None], blurred, turned)


def elastic_displacement(n: int, height: int, width: int, sd: float, points: int, generator: Generator) -> Tensor:
    """Return smooth random displacements, (n, height, width, 2) in pixels, from ``points`` × ``points`` normal draws.

    Source: Simard et al. 2003, smoothed by interpolation rather than by convolution.
    """
    coarse = sd * torch.randn(n, 2, points, points, generator=generator)
    return (_bicubic(height, points) @ coarse @ _bicubic(width, points).T).permute(0, 2, 3, 1)


@cache
def _bicubic(places: int, points: int) -> Tensor:
    """Return the weights (places, points) of bicubic interpolation: as matrix products it takes a tenth of the time."""
    return interpolate(torch.eye(points)[None, None], (places, points), mode="bicubic", align_corners=True)[0, 0]


def _crop(matrices: Tensor, share: float, height: int, width: int, generator: Generator) -> Tensor:
    """Compose ``matrices`` with a random crop that keeps at least ``share`` of each side and fills the frame."""
    kept = uniform(len(matrices), share, 1, generator)
    room = (1 - kept)[:, None] * torch.tensor([width / 2, height / 2])
    centre = (2 * torch.rand(len(matrices), 2, generator=generator) - 1) * room
    linear = matrices[:, :, :2] * kept[:, None, None]
    return torch.cat([linear, matrices[:, :, :2] @ centre[:, :, None] + matrices[:, :, 2:]], dim=2)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Set a square of ``side`` pixels at a random place of each image to zero.

    Source: DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """
    height, width = images.shape[-2:]
    top, left = torch.rand(2, len(images), 1, generator=generator) * torch.tensor([[[height]], [[width]]]) - side / 2
    rows, columns = torch.arange(height) - top, torch.arange(width) - left
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return images.masked_fill(inside[:, None].to(images.device), 0)


def lighting(images: Tensor, brightness: float, contrast: float, generator: Generator) -> Tensor:
    """Scale and shift all pixels of an image alike, at random within the limits, and clip to [0, 1]."""
    n = len(images)
    factor = torch.exp(uniform(n, -1, 1, generator) * math.log1p(contrast)).to(images.device)
    shift = uniform(n, -brightness, brightness, generator).to(images.device)
    return (images * factor[:, None, None, None] + shift[:, None, None, None]).clamp(0, 1)


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Return the images changed at random: one warp for affine, elastic and crop, then lighting, cutout and flip."""
    n, (height, width) = len(images), images.shape[-2:]
    s, f = settings, settings.strength
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * (f * s.translate) * torch.tensor([width, height])
    scale = torch.exp(uniform(n, -1, 1, generator) * math.log1p(f * s.scale))
    degrees = uniform(n, -f * s.degrees, f * s.degrees, generator)
    shear = uniform(n, -f * s.shear, f * s.shear, generator)
    matrices = affine_matrices(degrees, shift, scale, shear)
    if s.crop < 1:
        matrices = _crop(matrices, s.crop, height, width, generator)
    bend = elastic_displacement(n, height, width, f * s.elastic, s.elastic_grid, generator) if f * s.elastic else None
    if bend is not None or f * max(s.degrees, s.translate, s.scale, s.shear) > 0 or s.crop < 1:
        images = warp(images, matrices, bend)
    if f * max(s.brightness, s.contrast) > 0:
        images = lighting(images, f * s.brightness, f * s.contrast, generator)
    if s.cutout:
        images = cutout(images, s.cutout, generator)
    if s.flip:
        images = flip(images, torch.rand(n, generator=generator) < 0.5, torch.zeros(n, dtype=torch.bool))
    return images
