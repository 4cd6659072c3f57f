"""Decode one image file into one uint8 array; an unreadable file gives one line with the reason, and costs no memory.

Only Pillow's decoders of ``FORMATS`` are used: they start no other program and read no other file. Of a file with
several pictures (GIF, TIFF, WebP, PNG) the first one counts.
"""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile

from kmpl.errors import UserError
from kmpl.images.conversion import PLAIN, Conversion
from kmpl.images.deep_pictures import Deep, NotDecodedError, complete_pillow, deep_picture, tiff_kind
from kmpl.images.file_kinds import FORMATS, description_of, first_bytes, format_of
from kmpl.images.fitting import finished, read_orientation, reduced, to_eight_bits, upright
from kmpl.images.transparency import Transparent, transparent_shade
from kmpl.images.value_ranges import Extent, Ranges

MAX_PIXELS = 120_000_000
"""Larger pictures are refused by their header: 360 MB in colour, slightly more than any camera takes in one shot."""
_UNSUPPORTED = "is not read here: save it as PNG or TIFF of 8 or 16 bits, or as grey TIFF of 32-bit floating point"
_PILLOW_MODULES = r"PIL\."
_PILLOW_FILTER = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)  # as the list of filters has it


T = TypeVar("T")


class PictureError(UserError):
    """An unreadable picture; the message is the reason alone, without the file's name."""


def read_picture(
    path: Path,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    conversion: Conversion = PLAIN,
    on_unknown_kind: Callable[[str], None] = lambda kind: None,  # noqa: ARG005
) -> np.ndarray:
    """Return a picture, (height, width, channels) uint8, turned upright by its EXIF orientation.

    Args:
        path: The file; its content decides its format, not its name.
        size: (height, width) to fit the picture into, with its aspect ratio kept (Lanczos to shrink, bicubic to grow).
            The rest gets the median colour of the picture's border, so that neither a digit on black nor one on white
            gets a frame. A transparent margin is cut off first. A picture of exactly this size stays as it is.
        channels: 1 or 3; None = as in the file: 1 if it is grey, else 3.
        conversion: What the folder of the pictures decided on deep and on transparent ones.
        on_unknown_kind: Called with the kind of a picture of more than 8 bits whose range is not known.

    Raises:
        PictureError: absent, not readable, no picture, truncated, or of more than ``MAX_PIXELS``.
    """

    def finish(picture: Image.Image | Deep) -> np.ndarray | Transparent:
        if isinstance(picture, Deep):
            if picture.kind not in conversion.ranges:
                on_unknown_kind(picture.kind)
            picture = to_eight_bits(picture, conversion.ranges)
        return finished(picture, size, channels)

    picture = _decode(path, size, finish)
    if not isinstance(picture, Transparent):
        return picture
    return picture.on(picture.own_ground if conversion.ground is None else conversion.ground)


def read_undecided(
    path: Path, size: tuple[int, int], channels: int | None = None, ranges: Ranges | None = None
) -> np.ndarray | Transparent | Extent:
    """Return a picture as ``read_picture`` does, as far as it does not depend on other pictures of its folder.

    Of a deep picture, only the values that it uses are returned, unless ``ranges`` are given. A picture with
    transparent pixels has yet to get its ground.

    Raises:
        PictureError: as ``read_picture``.
    """

    def finish(picture: Image.Image | Deep) -> np.ndarray | Transparent | Extent:
        if not isinstance(picture, Deep):
            return finished(picture, size, channels)
        return picture.extent if ranges is None else finished(to_eight_bits(picture, ranges), size, channels)

    return _decode(path, size, finish)


def _decode(path: Path, size: tuple[int, int] | None, finish: Callable[[Image.Image | Deep], T]) -> T:
    """Return the result of ``finish`` on a file's picture (upright, and reduced if it is large) or on a deep picture.

    Raises:
        PictureError: as ``read_picture``.
    """
    _silence_pillow()
    complete_pillow()
    if not path.is_file():  # opening a pipe would wait for its writer
        raise PictureError("is no file" if path.exists() else "does not exist")
    # Pillow gets an open file, not a name: it would map a named file into memory, which turns TIFF wrongly and crashes
    # the process if the file is cut short meanwhile.
    with _reasons(path), path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise PictureError(f"{width:,} × {height:,} pixels; at most {MAX_PIXELS:,} are read")
        assert isinstance(image, ImageFile.ImageFile)
        if deep := deep_picture(image, file):
            return finish(replace(deep, orientation=read_orientation(image)))
        transparency = transparent_shade(image)
        image.load()
        if transparency is not None:
            image.info["transparency"] = transparency
        return finish(upright(image if size is None else reduced(image, size)))


@contextlib.contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Turn any exception of a decoder into a ``PictureError`` of one line."""
    try:
        yield
    except PictureError:
        raise
    except NotDecodedError as error:
        raise PictureError(f"is {error}, which {_UNSUPPORTED}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"too many pixels; at most {MAX_PIXELS:,} are read") from error
    except Image.UnidentifiedImageError as error:
        raise PictureError(_unidentified(path)) from error
    except Exception as error:  # on garbage, decoders may raise anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise PictureError(f"cannot be decoded: {reason.splitlines()[0]}") from error


def _unidentified(path: Path) -> str:
    """Return why Pillow does not recognise a file."""
    head = first_bytes(path)
    if not head:
        return "is empty"
    if format_of(head) == "TIFF":
        with path.open("rb") as file:
            if kind := tiff_kind(file):
                return f"is {kind}, which {_UNSUPPORTED}"
    if description := description_of(head):
        return f"is not read here: {description}"
    return f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"


def _silence_pillow() -> None:
    """Ignore Pillow's warnings: errors cover the serious ones, and the others are harmless.

    ``warnings.catch_warnings`` does not work with threads, so the filter is added once, as the first one, and stays.
    """
    if not warnings.filters or warnings.filters[0] != _PILLOW_FILTER:
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)
