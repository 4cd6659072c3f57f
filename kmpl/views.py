"""Images as batches: the notebook's views and the augmentation of training. Pure functions, randomness as argument.

Shapes: B images, float in [0, 1], (B, channels, height, width). Random numbers are drawn on the CPU, whatever the
device of the images, so that a seed means the same everywhere.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from kmpl.config import Augmentation

View = Callable[[Tensor, Generator], Tensor]


def to_float(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Return float images as uint8; what noise pushed out of [0, 1] is clipped."""
    return images.clamp(0, 1).mul(255).round_().to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """Return images with sides of ``size`` pixels (bilinear, antialiased); 0 leaves them as they are."""
    if size in (0, images.shape[-1]) and images.shape[-1] == images.shape[-2]:
        return images
    side = size or max(images.shape[-2:])
    return interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def flip(images: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Mirror each image left-right where ``horizontal`` (B,) and upside-down where ``vertical`` (B,) says so."""
    images = torch.where(horizontal.to(images.device)[:, None, None, None], images.flip(-1), images)
    return torch.where(vertical.to(images.device)[:, None, None, None], images.flip(-2), images)


def random_flips(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left-right and upside-down, each with probability one half."""
    horizontal, vertical = torch.rand(2, len(images), generator=generator) < 0.5
    return flip(images, horizontal, vertical)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with a 3 × 3 Gaussian of its own ``sigma`` (B,) in pixels, borders reflected."""
    side = torch.exp(-0.5 / sigma.to(images.device) ** 2)
    outer, inner = (side / (1 + 2 * side))[:, None, None, None], (1 / (1 + 2 * side))[:, None, None, None]
    wide = pad(images, (1, 1, 1, 1), mode="reflect")
    rows = outer * (wide[..., :-2, :] + wide[..., 2:, :]) + inner * wide[..., 1:-1, :]
    return outer * (rows[..., :-2] + rows[..., 2:]) + inner * rows[..., 1:-1]


def affine_matrices(degrees: Tensor, shift: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """Return (B, 2, 3) matrices that map places of the result to places of the source, pixels from the centre.

    Args:
        degrees: (B,) clockwise rotation.
        shift: (B, 2) right and down, pixels.
        scale: (B,) size of the result relative to the source.
        shear: (B,) horizontal shear, degrees.

    Source: the inverse of rotation · shear · scale, in the conventions of ``torchvision.transforms.functional.affine``.
    """
    angle, slant = torch.deg2rad(degrees), torch.tan(torch.deg2rad(shear))
    cos, sin = torch.cos(angle), torch.sin(angle)
    linear = torch.stack([cos - sin * slant, sin + cos * slant, -sin, cos], dim=1).view(-1, 2, 2) / scale[:, None, None]
    return torch.cat([linear, -linear @ shift[:, :, None]], dim=2)


def warp(images: Tensor, matrices: Tensor, displacement: Tensor | None = None, mode: str = "bilinear") -> Tensor:
    """Sample each image at ``matrices`` (B, 2, 3) · place + ``displacement`` (B, height, width, 2), both in pixels."""
    height, width = images.shape[-2:]
    y = torch.arange(height) - (height - 1) / 2
    x = torch.arange(width) - (width - 1) / 2
    # What columns and what rows add, summed for all images at once: a product for each image takes six times as long.
    a, b, c = (part[:, :, None, None] for part in matrices.unbind(2))
    sampled = (a * x + (b * y[:, None] + c)).permute(0, 2, 3, 1)
    if displacement is not None:
        sampled = sampled + displacement
    grid = (sampled * torch.tensor([2 / width, 2 / height])).to(images.device)
    return grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


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
    turn = affine_matrices(_uniform(n, -15, 15, generator), torch.zeros(n, 2), zero + 1, zero)
    return warp(images, turn, mode="nearest")


def blur(images: Tensor, generator: Generator) -> Tensor:
    """Random flips, then a 3 × 3 Gaussian blur, σ drawn from 0.1 to 2.0 pixels."""
    flipped = random_flips(images, generator)
    return gaussian_blur(flipped, _uniform(len(images), 0.1, 2.0, generator))


VIEWS: dict[str, View] = {"clean": clean, "noise": noise, "rotation": rotation, "blur": blur}
MIRRORING = ("noise", "blur")
"""Views that mirror at random."""


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
    blurred = gaussian_blur(turned, _uniform(n, 0.1, 2.0, generator))
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
    kept = _uniform(len(matrices), share, 1, generator)
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
    factor = torch.exp(_uniform(n, -1, 1, generator) * math.log1p(contrast)).to(images.device)
    shift = _uniform(n, -brightness, brightness, generator).to(images.device)
    return (images * factor[:, None, None, None] + shift[:, None, None, None]).clamp(0, 1)


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Return the images changed at random: one warp for affine, elastic and crop, then lighting, cutout and flip."""
    n, (height, width) = len(images), images.shape[-2:]
    s, f = settings, settings.strength
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * (f * s.translate) * torch.tensor([width, height])
    scale = torch.exp(_uniform(n, -1, 1, generator) * math.log1p(f * s.scale))
    degrees = _uniform(n, -f * s.degrees, f * s.degrees, generator)
    shear = _uniform(n, -f * s.shear, f * s.shear, generator)
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
