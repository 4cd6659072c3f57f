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
from PIL import Image, ImageFile

from kmpl.errors import UserError
from kmpl.images.deep_pictures import Deep, NotDecodedError, complete_pillow, deep_picture, tiff_kind
from kmpl.images.file_kinds import FORMATS, described, first_bytes, format_of
from kmpl.images.fitting import finished, read_orientation, reduced, to_eight_bits, upright
from kmpl.images.value_ranges import Extent, Ranges

MAX_PIXELS = 120_000_000
"""More are refused by the header alone: 360 MB in colour, and a little above what any camera gives in one shot."""
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
        ranges: Which numbers are black and white in pictures of more than 8 bits, by kind
            (``kmpl.images.value_ranges``). Without one, 16 bits are scaled by their full range, other kinds by what the
            picture itself uses.
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
            found = to_eight_bits(found, ranges or {})
        return finished(found, size, channels)

    return _opened(path, size, finish)


def read_or_measure(path: Path, size: tuple[int, int], channels: int | None = None) -> np.ndarray | Extent:
    """Return what ``read_picture`` does of a picture of 8 bits; of a deeper one what numbers it uses.

    Raises:
        PictureError: as ``read_picture``.
    """

    def finish(found: Image.Image | Deep) -> np.ndarray | Extent:
        return found.extent if isinstance(found, Deep) else finished(found, size, channels)

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
            return finish(replace(deep, orientation=read_orientation(image)))
        image.load()
        return finish(upright(image if size is None else reduced(image, size)))


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


def _silence_pillow() -> None:
    """Ignore what Pillow warns of: all of it is said by errors or is no harm.

    ``warnings.catch_warnings`` is not for threads; this filter is put in front, once, and stays.
    """
    if not warnings.filters or warnings.filters[0] != _PILLOWS:
        warnings.filterwarnings("ignore", module=_PILLOWS[3].pattern)
