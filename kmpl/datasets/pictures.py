"""One image file → one uint8 array, whatever kind of file it is; what cannot be read says why, and costs no memory.

Only the decoders of ``FORMATS`` are ever asked: no other program is started, no other file read. Of a file with several
pictures (GIF, TIFF, WebP, PNG) the first counts.
"""

import contextlib
import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kmpl.errors import UserError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})
"""In lower case; compare with ``path.suffix.lower()``."""

MAX_PIXELS = 120_000_000
"""More are refused by the header alone: 360 MB in colour, and a little above what any camera gives in one shot."""

_ORIENTATION = 0x0112  # EXIF's tag
_NEARLY_WHITE = 224
_PILLOWS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


class PictureError(UserError):
    """A file that is no picture that can be read; the message is the reason alone, without the file's name."""


def read_picture(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """Return a picture, (height, width, channels) uint8, upright by its EXIF orientation.

    Args:
        path: The file; what it is, is seen by its content, not its name.
        size: (height, width) to fit it into, its aspect ratio kept (Lanczos when it shrinks, bicubic when it grows).
            What is left beside it gets the median colour of its border, so that neither a digit on black nor one on
            white gets a frame. A picture that has this size already is not touched.
        channels: 1 or 3; None for what the file has: 1 if it is grey, else 3.

    What is transparent is laid over white, as on a page; over black where what is painted is nearly white itself and
    would vanish. 16 bits are scaled by their full range; floating-point and 32-bit pictures by 1, 255 or 65,535,
    whichever first holds all their values, else from their least to their greatest value.

    Raises:
        PictureError: absent, not readable, no picture, truncated, or of more than ``MAX_PIXELS``.
    """
    _silence_pillow()
    if not path.is_file():  # opening a pipe would wait for its writer
        raise PictureError("is no file" if path.exists() else "does not exist")
    try:
        # An open file, not its name: Pillow would map it into memory, which turns TIFF wrongly and crashes the process
        # when the file is cut short meanwhile.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PictureError(f"{width:,} × {height:,} pixels; at most {MAX_PIXELS:,} are read")
            image.load()
            plain = _plain(_upright(image if size is None else _reduced(image, size)))
        if channels:
            plain = plain.convert("L" if channels == 1 else "RGB")
        pixels = np.array(plain if size is None else _fitted(plain, size))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels; at most {MAX_PIXELS:,} are read") from error
    except Image.UnidentifiedImageError as error:
        reason = "is empty" if path.stat().st_size == 0 else f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
        raise PictureError(reason) from error
    except Exception as error:  # decoders that are fed with garbage raise whatever they like
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PictureError(f"cannot be decoded: {reason.splitlines()[0]}") from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if size is None else _letterboxed(pixels, size)


def _silence_pillow() -> None:
    """Ignore what Pillow warns of: all of it is said by errors or is no harm.

    ``warnings.catch_warnings`` is not for threads; this filter is put in front, once, and stays.
    """
    if not warnings.filters or warnings.filters[0] != _PILLOWS:
        warnings.filterwarnings("ignore", module=_PILLOWS[3].pattern)


def _reduced(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture far larger than what is needed as block means, at least eight times the needed side.

    What follows takes several times the memory of its pixels, and files are read side by side.
    """
    times = min(image.height // (8 * size[0]), image.width // (8 * size[1]))
    if times < 2 or image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    smaller = image.reduce(times)
    smaller.format = image.format
    return smaller


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture as its EXIF orientation shows it; EXIF that cannot be read turns nothing.

    Pillow turns TIFF itself when it loads it.
    """
    with contextlib.suppress(Exception):
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture as 8-bit grey or RGB."""
    mode = image.mode
    if mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    if mode in ("I", "F") or mode.startswith("I;"):
        return _eight_bit(np.asarray(image))
    if mode == "1":
        return image.convert("L")
    if image.has_transparency_data or mode in ("La", "RGBa"):
        return _on_ground(image.convert("LA" if mode in ("L", "LA", "La") else "RGBA"))
    plain = image.convert("RGB")
    return plain.getchannel(0) if mode == "P" and _is_grey(plain) else plain


def _is_grey(image: Image.Image) -> bool:
    """Say whether an RGB picture out of a palette has grey alone."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


def _eight_bit(values: np.ndarray) -> Image.Image:
    """Return numbers of 16 or 32 bits or floating point as 8-bit grey."""
    if values.dtype == np.uint16:
        scaled = (values.astype(np.uint32) * 255 + 32_767) // 65_535
        return Image.fromarray(scaled.astype(np.uint8))
    numbers = np.nan_to_num(values.astype(np.float32))
    low, high = float(numbers.min()), float(numbers.max())
    ranges = (255.0, 65_535.0) if np.issubdtype(values.dtype, np.integer) else (1.0, 255.0, 65_535.0)
    full = next((limit for limit in ranges if low >= 0 and high <= limit), None)
    low, full = (0.0, full) if full else (low, high - low or 1.0)
    return Image.fromarray(((numbers - low) * (255 / full)).round().clip(0, 255).astype(np.uint8))


def _on_ground(image: Image.Image) -> Image.Image:
    """Return a picture with alpha laid over white, or over black where what is painted is nearly white."""
    alpha = image.getchannel("A")
    colours = image.convert("RGB" if image.mode == "RGBA" else "L")
    painted = np.asarray(alpha, dtype=np.float32)
    weight = float(painted.sum())
    shades = np.asarray(colours.convert("L"), dtype=np.float32)
    if colours.mode == "RGB":  # yellow is bright but does not vanish on white
        shades = np.asarray(colours).min(axis=2).astype(np.float32)
    black = weight > 0 and float((shades * painted).sum()) / weight > _NEARLY_WHITE
    ground = Image.new(colours.mode, image.size, "black" if black else "white")
    ground.paste(colours, mask=alpha)
    return ground


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the picture at the largest size of its aspect ratio that fits into ``size``."""
    scale = min(size[0] / image.height, size[1] / image.width)
    fit = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if fit == image.size:
        return image
    if scale < 1:
        return image.resize(fit, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image.resize(fit, Image.Resampling.BICUBIC)


def _letterboxed(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the picture in the middle of ``size``, the rest in the median colour of its border."""
    height, width, channels = pixels.shape
    if (height, width) == size:
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    whole = np.empty((*size, channels), dtype=np.uint8)
    whole[:] = np.median(border, axis=0).round().astype(np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    whole[top : top + height, left : left + width] = pixels
    return whole
