"""All image files of a folder, read side by side; those of more than 8 bits twice, to see first what they use."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kmpl.images.decoding import PictureError, read_or_measure, read_picture
from kmpl.images.value_ranges import Extent, Range, Ranges, decide
from kmpl.runtime.devices import cores

OnProgress = Callable[[int, int], None]
"""Called after each file with how many are read, and how many there are; images of more than 8 bits count twice."""

One = tuple[np.ndarray, str]
"""An image (size, size, 1 or 3) uint8, grey if it has no colour, and the SHA-256 of its file."""


@dataclass(frozen=True)
class ReadFiles:
    """What was read."""

    found: list[One | str] = field(repr=False)
    """Of each file its image, or why there is none."""
    ranges: dict[str, Range]
    """Which numbers are black and white, by kind of image."""
    extents: list[Extent] = field(repr=False)
    """What each image of more than 8 bits uses."""


def read_files(root: Path, files: Sequence[str], size: int, channels: int | None, on_progress: OnProgress) -> ReadFiles:
    """Read files, in their order, whatever the number of threads.

    Args:
        root: folder of the files.
        files: relative to it.
        size: side that all images are brought to, pixels.
        channels: 1, 3, or None: what each has.
        on_progress: told of each file.
    """
    with ThreadPoolExecutor(cores()) as pool:  # Pillow lets other threads run while it decodes
        first: list[One | str | Extent] = []
        for one in pool.map(lambda file: _read(root / file, size, channels), files):
            first.append(one)
            on_progress(len(first), len(files))
        extents = [one for one in first if isinstance(one, Extent)]
        ranges, deep = decide(extents), [n for n, one in enumerate(first) if isinstance(one, Extent)]
        again = pool.map(lambda number: _read(root / files[number], size, channels, ranges), deep)
        for done, (number, one) in enumerate(zip(deep, again, strict=True), start=1):
            first[number] = one
            on_progress(len(files) + done, len(files) + len(deep))
    return ReadFiles([one for one in first if not isinstance(one, Extent)], ranges, extents)


def _read(path: Path, size: int, channels: int | None, ranges: Ranges | None = None) -> One | str | Extent:
    """Return an image and its digest, or why it cannot be read; of one of more than 8 bits, without ``ranges``, what
    it uses."""
    try:
        if ranges is None:
            picture = read_or_measure(path, (size, size), channels)
            if isinstance(picture, Extent):
                return picture
        else:
            picture = read_picture(path, (size, size), channels, ranges)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except PictureError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    colourless = channels is None and bool((picture == picture[..., :1]).all())
    return (picture[..., :1] if colourless else picture), digest
