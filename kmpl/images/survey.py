"""What the pictures of a large folder decide together, looked at part by part: no picture stays in memory.

``kmpl.images.reading.read_files`` does both at once for folders that fit memory, and decides the same.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kmpl.images.conversion import Conversion
from kmpl.images.reading import read_file
from kmpl.images.transparency import Transparent, decide_ground, ground_sentence
from kmpl.images.value_ranges import Extent, decide, sentences
from kmpl.runtime.cores import cores
from kmpl.runtime.files import digests_of

_SIDE_PIXELS = 8  # of the first reading, which only finds what all files decide together


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What some files are."""

    digests: dict[str, str]
    """SHA-256 of each file that can be read."""
    unreadable: dict[str, str]
    """The reason why each other one cannot."""
    deep: dict[str, Extent]
    """What pictures of more than 8 bits use of their values."""
    transparent: tuple[Transparent, ...]
    """Pictures that need a ground, small."""

    @property
    def is_plain(self) -> bool:
        """Whether these files decide nothing."""
        return not self.deep and not self.transparent


def survey(root: Path, files: Sequence[str]) -> Survey:
    """Return what files are; the number of threads does not change the result."""
    with ThreadPoolExecutor(cores()) as pool:
        results = dict(
            zip(files, pool.map(lambda file: read_file(root / file, _SIDE_PIXELS, None), files), strict=True)
        )
    deep = {file: one for file, one in results.items() if isinstance(one, Extent)}
    digests = {file: one[1] for file, one in results.items() if isinstance(one, tuple)} | digests_of(root, list(deep))[
        0
    ]
    return Survey(
        digests={file: digests[file] for file in files if file in digests},
        unreadable={file: one for file, one in results.items() if isinstance(one, str)},
        deep=deep,
        transparent=tuple(
            one[0] for one in results.values() if isinstance(one, tuple) and isinstance(one[0], Transparent)
        ),
    )


def decide_together(
    root: Path, parts: Sequence[Survey], on_deep: Callable[[], None] = lambda: None
) -> tuple[Conversion, tuple[str, ...]]:
    """Return what all files together decide, and what the user should know of it.

    Args:
        root: the folder.
        parts: of all its files.
        on_deep: called after each deep picture, which is read a second time.
    """
    extents = {file: extent for part in parts for file, extent in part.deep.items()}
    ranges = decide(list(extents.values()))
    transparent = [one for part in parts for one in part.transparent]
    for file in extents:
        again = read_file(root / file, _SIDE_PIXELS, None, ranges)
        on_deep()
        if isinstance(again, tuple) and isinstance(again[0], Transparent):
            transparent.append(again[0])
    ground = decide_ground(transparent)
    notes = tuple(sentences(ranges, list(extents.values())))
    if ground is not None and (sentence := ground_sentence(transparent, ground)):
        notes = (*notes, sentence)
    return Conversion(ranges, ground), notes
