"""One image file → one uint8 array, whatever kind of file it is; what cannot be read says why, and costs no memory.

Only the decoders of ``FORMATS`` are ever asked: no other program is started, no other file read. Of a file with several
pictures (GIF, TIFF, WebP, PNG) the first counts.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps

from kmpl.datasets.deep import Deep, NotDecodedError, complete_pillow, deep_picture, tiff_kind
from kmpl.datasets.formats import FORMATS, described, first_bytes, format_of
from kmpl.datasets.ranges import Extent, Ranges, alone
from kmpl.errors import UserError

MAX_PIXELS = 120_000_000
"""More are refused by the header alone: 360 MB in colour, and a little above what any camera gives in one shot."""

_ORIENTATION = 0x0112  # EXIF's tag
_NEARLY_WHITE = 224
_NOT_READ = "is not read here: save it as PNG or TIFF of 8 or 16 bits, or as grey TIFF of 32-bit floating point"
_PILLOWS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)


T = TypeVar("T")


class PictureError(UserError):
    """A file that is no picture that can be read; the message is the reason alone, without the file's name."""


def read_picture(
    path: Path,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    ranges: Ranges | None = None,
    unknown: Callable[[str], None] = lambda kind: None,  # noqa: ARG005
) -> np.ndarray:
    """Return a picture, (height, width, channels) uint8, upright by its EXIF orientation.

    Args:
        path: The file; what it is, is seen by its content, not its name.
        size: (height, width) to fit it into, its aspect ratio kept (Lanczos when it shrinks, bicubic when it grows).
            What is left beside it gets the median colour of its border, so that neither a digit on black nor one on
            white gets a frame. A picture that has this size already is not touched.
        channels: 1 or 3; None for what the file has: 1 if it is grey, else 3.
        ranges: Which numbers are black and white in pictures of more than 8 bits, by kind (``kmpl.datasets.ranges``).
            Without one, 16 bits are scaled by their full range, other kinds by what the picture itself uses.
        unknown: Told of the kind of such a picture if ``ranges`` lacks it.

    What is transparent is laid over white, as on a page; over black where what is painted is nearly white itself and
    would vanish.

    Raises:
        PictureError: absent, not readable, no picture, truncated, or of more than ``MAX_PIXELS``.
    """

    def finish(found: Image.Image | Deep) -> np.ndarray:
        if isinstance(found, Deep):
            kind = found.kind
            if kind not in (ranges or {}):
                unknown(kind)
            found = _shallow(found, ranges or {})
        return _finished(found, size, channels)

    return _opened(path, size, finish)


def read_or_measure(path: Path, size: tuple[int, int], channels: int | None = None) -> np.ndarray | Extent:
    """Return what ``read_picture`` does of a picture of 8 bits; of a deeper one what numbers it uses.

    Raises:
        PictureError: as ``read_picture``.
    """

    def finish(found: Image.Image | Deep) -> np.ndarray | Extent:
        return found.extent if isinstance(found, Deep) else _finished(found, size, channels)

    return _opened(path, size, finish)


def _opened(path: Path, size: tuple[int, int] | None, finish: Callable[[Image.Image | Deep], T]) -> T:
    """Return what ``finish`` makes of a file: of its picture, upright and perhaps reduced, or of a deep one's numbers.

    Raises:
        PictureError: as ``read_picture``.
    """
    _silence_pillow()
    complete_pillow()
    if not path.is_file():  # opening a pipe would wait for its writer
        raise PictureError("is no file" if path.exists() else "does not exist")
    # An open file, not its name: Pillow would map it into memory, which turns TIFF wrongly and crashes the process
    # when the file is cut short meanwhile.
    with _reasons(path), path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise PictureError(f"{width:,} × {height:,} pixels; at most {MAX_PIXELS:,} are read")
        assert isinstance(image, ImageFile.ImageFile)
        if deep := deep_picture(image, file):
            return finish(replace(deep, orientation=_orientation(image)))
        image.load()
        return finish(_upright(image if size is None else _reduced(image, size)))


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn whatever decoders raise into one line."""
    try:
        yield
    except PictureError:
        raise
    except NotDecodedError as error:
        raise PictureError(f"is {error}, which {_NOT_READ}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels; at most {MAX_PIXELS:,} are read") from error
    except Image.UnidentifiedImageError as error:
        raise PictureError(_unidentified(path)) from error
    except Exception as error:  # decoders that are fed with garbage raise whatever they like
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PictureError(f"cannot be decoded: {reason.splitlines()[0]}") from error


def _unidentified(path: Path) -> str:
    """Return why Pillow does not know a file."""
    head = first_bytes(path)
    if not head:
        return "is empty"
    if format_of(head) == "TIFF":
        with path.open("rb") as file:
            if kind := tiff_kind(file):
                return f"is {kind}, which {_NOT_READ}"
    if what := described(head):
        return f"is not read here: {what}"
    return f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"


def _finished(image: Image.Image, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """Return an upright picture of 8 bits as it was asked for."""
    plain = _plain(image)
    if channels:
        plain = plain.convert("L" if channels == 1 else "RGB")
    pixels = np.array(plain if size is None else _fitted(plain, size))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if size is None else _letterboxed(pixels, size)


def _shallow(deep: Deep, ranges: Ranges) -> Image.Image:
    """Return a deep picture as one of 8 bits, grey or RGB, with alpha or without."""
    pixels, alpha = deep.scaled(ranges.get(deep.kind) or alone(deep.extent))
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    if deep.orientation != 1:
        image.getexif()[_ORIENTATION] = deep.orientation
        return ImageOps.exif_transpose(image)
    return image


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
    """Return the picture as its EXIF orientation shows it; EXIF that cannot be read turns nothing."""
    with contextlib.suppress(Exception):
        return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
    return image


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 = upright. Pillow turns TIFF itself when it loads it."""
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
    """Say whether an RGB picture out of a palette has grey alone."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())


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
