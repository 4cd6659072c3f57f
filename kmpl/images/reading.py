"""Read all image files of a folder in parallel, and decide what one file alone does not tell (``Conversion``).

Deep pictures (over 8 bits) are read twice: the first time to find their range. A file that cannot be read gives the
reason instead of an image.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kmpl.errors import FileError
from kmpl.images.conversion import Conversion
from kmpl.images.decoding import PictureError, read_picture, read_undecided
from kmpl.images.transparency import Transparent, decide_ground, ground_sentence
from kmpl.images.value_ranges import Extent, Ranges, decide, sentences
from kmpl.runtime.cores import cores

_AHEAD = 64
"""Pictures that are read before they are asked for, at most."""
OnProgress = Callable[[int, int], None]
"""Called after each file with the number of readings so far and in all; deep pictures count twice."""


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One image."""

    pixels: np.ndarray
    """(size, size, 1 or 3) uint8; one channel if all pixels are grey."""
    digest: str
    """SHA-256 of the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadFiles:
    """The images of several files."""

    images: list[ReadImage | str] = field(repr=False)
    """The image of each file, or the reason why there is none."""
    conversion: Conversion
    """What the files together decided."""
    notes: tuple[str, ...]
    """What the user should know of it, a sentence each."""


Undecided = tuple[np.ndarray | Transparent, str]
"""A picture that may still need its ground, and the digest of its file."""


def read_files(
    root: Path, files: Sequence[str], *, size: int, channels: int | None, on_progress: OnProgress
) -> ReadFiles:
    """Read files in their order; the number of threads does not change the result.

    Args:
        root: folder of the files.
        files: paths relative to it.
        size: side of the resulting images, pixels.
        channels: 1, 3, or None = as in each file.
        on_progress: called after each file.
    """
    with ThreadPoolExecutor(cores()) as pool:  # Pillow lets other threads run while it decodes
        results: list[Undecided | str | Extent] = []
        for result in pool.map(lambda file: read_file(root / file, size, channels), files):
            results.append(result)
            on_progress(len(results), len(files))
        extents = [result for result in results if isinstance(result, Extent)]
        ranges = decide(extents)
        deep = [index for index, result in enumerate(results) if isinstance(result, Extent)]
        second = pool.map(lambda index: read_file(root / files[index], size, channels, ranges), deep)
        for n, (index, result) in enumerate(zip(deep, second, strict=True), start=1):
            results[index] = result
            on_progress(len(files) + n, len(files) + len(deep))
    transparent = [result[0] for result in results if isinstance(result, tuple) and isinstance(result[0], Transparent)]
    ground = decide_ground(transparent)
    notes = sentences(ranges, extents)
    if ground is not None and (sentence := ground_sentence(transparent, ground)):
        notes = (*notes, sentence)
    images = [_read_image(result, ground, channels) for result in results if not isinstance(result, Extent)]
    return ReadFiles(images=images, conversion=Conversion(ranges, ground), notes=notes)


def read_in_order(
    root: Path, files: Sequence[str], *, size: int, channels: int, conversion: Conversion
) -> Iterator[np.ndarray]:
    """Yield files, each as (size, size, channels) uint8, in their order, read ahead in parallel.

    Raises:
        FileError: a file cannot be read.
    """

    def read(file: str) -> np.ndarray:
        try:
            return read_picture(root / file, (size, size), channels, conversion)
        except PictureError as error:
            raise FileError(f"{root / file} cannot be read: {error}", root / file) from error

    with ThreadPoolExecutor(cores()) as pool:
        ahead: deque[Future[np.ndarray]] = deque()
        for file in files:
            ahead.append(pool.submit(read, file))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def read_file(path: Path, size: int, channels: int | None, ranges: Ranges | None = None) -> Undecided | str | Extent:
    """Return an image, or the reason why it cannot be read; without ``ranges``, the extent of a deep picture."""
    try:
        picture = read_undecided(path, (size, size), channels, ranges)
        if isinstance(picture, Extent):
            return picture
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except PictureError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return picture, digest


def _read_image(result: Undecided | str, ground: int | None, channels: int | None) -> ReadImage | str:
    """Return an image with its ground, or the reason why there is none."""
    if isinstance(result, str):
        return result
    picture, digest = result
    if isinstance(picture, Transparent):
        assert ground is not None, "a transparent picture decides the ground"
        picture = picture.on(ground)
    is_grey = channels is None and bool((picture == picture[..., :1]).all())
    return ReadImage(picture[..., :1] if is_grey else picture, digest)
