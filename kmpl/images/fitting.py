"""Bring a decoded picture into its final form: upright, grey or colour, letterboxed to a size."""

import contextlib

import numpy as np
from PIL import Image, ImageOps

from kmpl.images.deep_pictures import Deep
from kmpl.images.transparency import Transparent, grounds_it_vanishes_on, without_margin
from kmpl.images.value_ranges import Ranges, range_of_one

_ORIENTATION = 0x0112  # EXIF's tag
_WITH_ALPHA = ("LA", "RGBA")


def finished(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> np.ndarray | Transparent:
    """Return an upright picture of 8 bits as an array (height, width, 1 or 3) of the given size and channels.

    A picture with transparent pixels has yet to get its ground.
    """
    plain = _plain(image)
    if plain.mode in _WITH_ALPHA:
        return _transparent(plain, size, channels)
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
    """Return the picture as 8-bit grey or RGB, with alpha only if it has transparent pixels."""
    mode = image.mode
    if mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    if mode == "1" and not image.has_transparency_data:
        return image.convert("L")
    if image.has_transparency_data or mode in ("La", "RGBa"):
        with_alpha = image.convert("LA" if mode in ("1", "L", "LA", "La") else "RGBA")
        is_opaque = with_alpha.getchannel("A").getextrema()[0] == 255
        return with_alpha.convert(with_alpha.mode[:-1]) if is_opaque else with_alpha
    plain = image.convert("RGB")
    return plain.getchannel(0) if mode == "P" and _is_grey(plain) else plain


def _is_grey(image: Image.Image) -> bool:
    """Return whether all pixels of an RGB picture are grey."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def _transparent(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> Transparent:
    """Return a picture with alpha, without its transparent margin unless it has exactly the size already."""
    if channels:
        image = image.convert("LA" if channels == 1 else "RGBA")
    if size is not None and image.size != size[::-1]:
        image = without_margin(image)
    fitted = np.array(image if size is None else _fitted(image, size))
    if size is not None:
        fitted = _centred(fitted, np.zeros((*size, fitted.shape[-1]), dtype=np.uint8))
    return Transparent(fitted[..., :-1], fitted[..., -1], grounds_it_vanishes_on(image))


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
    return _centred(pixels, whole)


def _centred(pixels: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``whole`` with a picture in its middle."""
    height, width, _ = pixels.shape
    top = (whole.shape[0] - height) // 2
    left = (whole.shape[1] - width) // 2
    whole[top : top + height, left : left + width] = pixels
    return whole
