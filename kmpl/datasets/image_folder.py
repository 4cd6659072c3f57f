"""A folder of your images, read as one uint8 tensor, with the labels that sub-folders or a CSV give.

Images may lie in the folder itself, in class sub-folders, or both. Without a CSV the name of the sub-folder directly
below the folder is the label of all images in it (``unlabelled`` is no label), and those in the folder itself have
none. With a CSV it alone gives labels, and sub-folders are only places; ``labels.csv`` in the folder is such a CSV.
What names and labels are taken for is the same in both.
Shapes: N images.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kmpl.datasets.types import UNLABELLED
from kmpl.errors import FileError
from kmpl.formats.csv_labels import read_labels
from kmpl.formats.folder_labels import labels_of_folders
from kmpl.formats.given_labels import NO_RULES, Given, Rules
from kmpl.images.file_kinds import IMAGE_SUFFIXES, by_content_sentence, look
from kmpl.images.file_tree import walk
from kmpl.images.reading import OnProgress, read_files
from kmpl.images.value_ranges import Range, sentences

SIZE = 32
"""Side of the images in pixels, unless another is given."""
OWN_LABELS = "labels.csv"
"""The CSV that counts if none is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderImages:
    """All images of a folder that can be read, in the order of their paths."""

    root: Path
    files: tuple[str, ...]
    """(N,) relative to the root, with ``/``, sorted."""
    images: Tensor = field(repr=False)
    """(N, channels, size, size) uint8; letterboxed, so that the aspect ratio is kept."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64 in [0, C), −1 = unlabelled."""
    classes: tuple[str, ...]
    """Names of the C classes, sorted."""
    digests: tuple[str, ...] = field(repr=False)
    """(N,) SHA-256 of each file's bytes: copies of one file have the same."""
    left_out: dict[str, str]
    """Files that look like images and could not be read, and why."""
    notes: tuple[str, ...] = ()
    """What of the labels was read otherwise than it may have been meant, a sentence each."""
    own: frozenset[str] = frozenset()
    """Files whose given label is one that kmpl assigned earlier and nobody has touched since."""
    ranges: dict[str, Range] = field(default_factory=dict)
    """Which numbers are black and white in images of more than 8 bits, by kind; what reads them again needs it."""
    said: tuple[str, ...] = ()
    """What people should know of how the files were read, a sentence each."""

    @property
    def conflicts(self) -> list[tuple[str, ...]]:
        """Copies of one file that were given different labels, each time all that have a label."""
        copies = defaultdict(list)
        for i in np.flatnonzero(self.labels != UNLABELLED):
            copies[self.digests[i]].append(int(i))
        return [tuple(self.files[i] for i in same) for same in copies.values() if len(set(self.labels[same])) > 1]


def scan(root: Path, by_content: Callable[[str], None] = lambda file: None) -> tuple[list[str], dict[str, str]]:  # noqa: ARG005
    """Return the paths of all images in a folder and below it, sorted, and what looks like an image but is no use.

    What ``walk`` passes over is no image. A sub-folder that cannot be read is left out as a file is. A file whose
    suffix is no image's is looked into: ``by_content`` is told of each that is an image all the same.

    Raises:
        UserError: no such folder, one that cannot be read, or no image in it.
    """
    if not root.is_dir():
        wrong = "is a file" if root.exists() else "there is no such folder"
        raise FileError(f"{root}: {wrong}; name a folder of images", root)
    files: list[str] = []
    left_out: dict[str, str] = {}

    def refused(folder: str, error: OSError) -> None:
        reason = error.strerror or str(error)
        if not folder:
            raise FileError(f"cannot read the folder {root}: {reason}", root) from error
        left_out[_readable(folder)] = f"the folder cannot be read: {reason}"

    for name in walk(root, refused):
        if _readable(name) != name:
            left_out[_readable(name)] = "its name is no UTF-8; rename it"
        elif (seen := look(root / name)) and not seen.why_not:
            files.append(name)
            if seen.by_content:
                by_content(name)
        elif seen:
            left_out[name] = seen.why_not
    if not files:
        looks = f"; {len(left_out):,} files are left out, the first: {_first(left_out)}" if left_out else ""
        raise FileError(f"{root}: no image in it or below it ({_formats()}); name a folder of images{looks}", root)
    return sorted(files), left_out


def _formats() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def _first(left_out: dict[str, str]) -> str:
    name = min(left_out)
    return f"{name} {left_out[name]}"


def _readable(name: str) -> str:
    """Return a name as text that can be written; one in UTF-8 as it is."""
    return name.encode("utf-8", "backslashreplace").decode()


def _given(root: Path, table: Path | None, files: Sequence[str], *, rules: Rules) -> Given:
    if table is None and (root / OWN_LABELS).is_file():
        table = root / OWN_LABELS
    return labels_of_folders(files, root, rules) if table is None else read_labels(table, root, files, rules)


def read_folder(
    root: Path,
    labels: Path | None = None,
    *,
    size: int = SIZE,
    channels: int = 0,
    on_progress: OnProgress = lambda done, total: None,  # noqa: ARG005
    rules: Rules = NO_RULES,
) -> FolderImages:
    """Return all images of a folder with their labels; the result does not depend on how many threads read them.

    Args:
        root: the folder.
        labels: CSV with the columns file and label; if none is given, ``labels.csv`` in the folder, and if there is
            none, the names of sub-folders.
        size: side that all images are brought to, pixels.
        channels: 1 (grey), 3 (colour), or 0: grey if all images are grey, else colour.
        on_progress: told of each file.
        rules: what was said of names and labels that may be meant one way or the other.

    Raises:
        UserError: no image that can be read, the CSV does not fit the folder, or the sub-folders are no classes.
    """
    by_content: list[str] = []
    files, left_out = scan(root, by_content.append)
    said = _given(root, labels, files, rules=rules)
    named = said.labels
    kept: list[str] = []
    pictures: list[np.ndarray] = []
    digests: list[str] = []
    read = read_files(root, files, size, channels or None, on_progress)
    for file, one in zip(files, read.found, strict=True):
        if isinstance(one, str):
            left_out[file] = one
        else:
            kept.append(file)
            pictures.append(one[0])
            digests.append(one[1])
    if not kept:
        raise FileError(f"{root}: none of {len(files)} images can be read; {files[0]}: {left_out[files[0]]}", root)
    classes = tuple(sorted({named[file] for file in kept if file in named}))
    numbers = {name: number for number, name in enumerate(classes)}
    given = np.array([numbers[named[file]] if file in named else UNLABELLED for file in kept], dtype=np.int64)
    return FolderImages(
        root=root,
        files=tuple(kept),
        images=_stacked(pictures, channels),
        labels=given,
        classes=classes,
        digests=tuple(digests),
        left_out=dict(sorted(left_out.items())),
        notes=said.notes,
        own=said.own,
        ranges=read.ranges,
        said=(*by_content_sentence(by_content), *sentences(read.ranges, read.extents)),
    )


def _stacked(pictures: list[np.ndarray], channels: int) -> Tensor:
    """Return images (height, width, 1 or 3) as one tensor (N, channels, height, width)."""
    depth = channels or max(picture.shape[-1] for picture in pictures)
    stacked = np.empty((len(pictures), depth, *pictures[0].shape[:2]), dtype=np.uint8)
    for place, picture in zip(stacked, pictures, strict=True):
        place[:] = picture.transpose(2, 0, 1)  # grey goes into all channels
    return torch.from_numpy(stacked)
