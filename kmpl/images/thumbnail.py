"""Small copies of pictures for pages, encoded for browsers."""

import io

import numpy as np
from PIL import Image

PIXELATED_UP_TO = 64
"""Side in pixels; pages show the pixels of smaller pictures as squares."""


def encode(pixels: np.ndarray, side: int) -> tuple[bytes, str]:
    """Return a copy of at most ``side`` pixels a side, and its media type: PNG if the picture is small, else JPEG.

    Args:
        pixels: (height, width, 1 or 3) uint8.
        side: in pixels.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    is_small = is_pixelated(pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if is_small else "JPEG", **({"optimize": True} if is_small else {"quality": 80}))
    return buffer.getvalue(), f"image/{'png' if is_small else 'jpeg'}"


def is_pixelated(pixels: np.ndarray) -> bool:
    """Return whether a picture (height, width, channels) is so small that pages show its pixels as squares."""
    return max(pixels.shape[:2]) <= PIXELATED_UP_TO
