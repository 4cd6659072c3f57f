"""Operations on batches of images. Shapes: B images, C channels, H × W pixels."""

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, interpolate, pad


def to_float(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Return float images as uint8; values outside of [0, 1], which noise gives, are clipped."""
    return images.clamp(0, 1).mul(255).round_().to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """Return images with sides of ``size`` pixels (bilinear, antialiased); 0 keeps their size."""
    if size in (0, images.shape[-1]) and images.shape[-1] == images.shape[-2]:
        return images
    side = size or max(images.shape[-2:])
    return interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Return ``n`` random numbers, uniform in [low, high)."""
    return torch.rand(n, generator=generator) * (high - low) + low


def flip(images: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Mirror images left-right where ``horizontal`` (B,) is true, and upside-down where ``vertical`` (B,) is true."""
    images = torch.where(horizontal.to(images.device)[:, None, None, None], images.flip(-1), images)
    return torch.where(vertical.to(images.device)[:, None, None, None], images.flip(-2), images)


def random_flips(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left-right and upside-down, each with probability one half."""
    horizontal, vertical = torch.rand(2, len(images), generator=generator) < 0.5
    return flip(images, horizontal, vertical)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with a 3 × 3 Gaussian of its own ``sigma`` (B,) in pixels, borders reflected."""
    side = torch.exp(-0.5 / sigma.to(images.device) ** 2)
    outer = (side / (1 + 2 * side))[:, None, None, None]
    inner = (1 / (1 + 2 * side))[:, None, None, None]
    wide = pad(images, (1, 1, 1, 1), mode="reflect")
    rows = outer * (wide[..., :-2, :] + wide[..., 2:, :]) + inner * wide[..., 1:-1, :]
    return outer * (rows[..., :-2] + rows[..., 2:]) + inner * rows[..., 1:-1]


def affine_matrices(degrees: Tensor, shift: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """Return (B, 2, 3) matrices that map positions in the result to positions in the source, in pixels from the centre.

    Args:
        degrees: (B,) clockwise rotation.
        shift: (B, 2) right and down, pixels.
        scale: (B,) size of the result relative to the source.
        shear: (B,) horizontal shear, degrees.

    Source: the inverse of rotation · shear · scale, in the conventions of ``torchvision.transforms.functional.affine``.
    """
    angle = torch.deg2rad(degrees)
    slant = torch.tan(torch.deg2rad(shear))
    cos = torch.cos(angle)
    sin = torch.sin(angle)
    linear = torch.stack([cos - sin * slant, sin + cos * slant, -sin, cos], dim=1).view(-1, 2, 2) / scale[:, None, None]
    return torch.cat([linear, -linear @ shift[:, :, None]], dim=2)


def warp(images: Tensor, matrices: Tensor, displacement: Tensor | None = None, mode: str = "bilinear") -> Tensor:
    """Sample each image at ``matrices`` (B, 2, 3) · position + ``displacement`` (B, height, width, 2), in pixels."""
    height, width = images.shape[-2:]
    y = torch.arange(height) - (height - 1) / 2
    x = torch.arange(width) - (width - 1) / 2
    # The terms of columns and rows are summed for all images at once: a product for each image takes six times as long.
    a, b, c = (part[:, :, None, None] for part in matrices.unbind(2))
    sampled = (a * x + (b * y[:, None] + c)).permute(0, 2, 3, 1)
    if displacement is not None:
        sampled = sampled + displacement
    grid = (sampled * torch.tensor([2 / width, 2 / height])).to(images.device)
    return grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
