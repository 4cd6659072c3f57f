"""Bring a decoded picture into its final form: upright, without alpha, grey or colour, letterboxed to a size."""

import contextlib

import numpy as np
from PIL import Image, ImageOps

from kmpl.images.deep_pictures import Deep
from kmpl.images.value_ranges import Ranges, range_of_one

_ORIENTATION = 0x0112  # EXIF's tag
_NEARLY_WHITE = 224  # mean shade; brighter pictures would vanish on white


def finished(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """Return an upright picture of 8 bits as an array (height, width, 1 or 3) of the given size and channels."""
    plain = _plain(image)
    if channels:
        plain = plain.convert("L" if channels == 1 else "RGB")
    pixels = np.array(plain if size is None else _fitted(plain, size))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if size is None else _letterboxed(pixels, size)


def to_eight_bits(deep: Deep, ranges: Ranges) -> Image.Image:
    """Return a deep picture as one of 8 bits, grey or RGB, with alpha or without."""
    pixels, alpha = deep.scaled(ranges.get(deep.kind) or range_of_one(deep.extent))
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if deep.orientation != 1:
        image.getexif()[_ORIENTATION] = deep.orientation
        return ImageOps.exif_transpose(image)
    return image


def reduced(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the block means of a picture that is far larger than ``size``; sides stay eight times as long at least.

    The next operations take several times the memory of the pixels, and several files are read at the same time.
    """
    factor = min(image.height // (8 * size[0]), image.width // (8 * size[1]))
    if factor < 2 or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    smaller = image.reduce(factor)
    smaller.format = image.format
    return smaller


def upright(image: Image.Image) -> Image.Image:
    """Return the picture turned by its EXIF orientation; unreadable EXIF is ignored."""
    with contextlib.suppress(Exception):
        return image if read_orientation(image) == 1 else ImageOps.exif_transpose(image)
    return image


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 = upright. Pillow itself turns a TIFF on loading."""
    with contextlib.suppress(Exception):
        return 1 if image.format == "TIFF" else int(image.getexif().get(_ORIENTATION, 1))
    return 1


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture as 8-bit grey or RGB."""
    mode = image.mode
    if mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    if mode == "1":
        return image.convert("L")
    if image.has_transparency_data or mode in ("La", "RGBa"):
        return _on_ground(image.convert("LA" if mode in ("L", "LA", "La") else "RGBA"))
    plain = image.convert("RGB")
    return plain.getchannel(0) if mode == "P" and _is_grey(plain) else plain


def _is_grey(image: Image.Image) -> bool:
    """Return whether all pixels of an RGB picture are grey."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def _on_ground(image: Image.Image) -> Image.Image:
    """Return a picture with alpha over a white ground, or over a black one if the picture is nearly white."""
    alpha = image.getchannel("A")
    colours = image.convert("RGB" if image.mode == "RGBA" else "L")
    opacity = np.asarray(alpha, dtype=np.float32)
    weight = float(opacity.sum())
    shades = np.asarray(colours.convert("L"), dtype=np.float32)
    if colours.mode == "RGB":  # yellow is bright but does not vanish on white
        shades = np.asarray(colours).min(axis=2).astype(np.float32)
    black = weight > 0 and float((shades * opacity).sum()) / weight > _NEARLY_WHITE
    ground = Image.new(colours.mode, image.size, "black" if black else "white")
    ground.paste(colours, mask=alpha)
    return ground


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the picture scaled to the largest size that fits into ``size``, with its aspect ratio kept."""
    scale = min(size[0] / image.height, size[1] / image.width)
    fit = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if fit == image.size:
        return image
    if scale < 1:
        return image.resize(fit, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image.resize(fit, Image.Resampling.BICUBIC)


def _letterboxed(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the picture in the middle of an array of ``size``; the rest gets the median colour of its border."""
    height, width, channels = pixels.shape
    if (height, width) == size:
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    whole = np.empty((*size, channels), dtype=np.uint8)
    whole[:] = np.median(border, axis=0).round().astype(np.uint8)
    top = (size[0] - height) // 2
    left = (size[1] - width) // 2
    whole[top : top + height, left : left + width] = pixels
    return whole
