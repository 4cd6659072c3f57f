"""A folder of image files as one uint8 tensor, with labels from a CSV or from the names of sub-folders.

Images may lie in the folder itself, in class sub-folders, or both. Without a CSV, the name of a sub-folder directly
below the folder is the label of all images in it (``unlabelled`` is no label), and images in the folder itself have no
label. With a CSV, only the CSV gives labels; ``labels.csv`` in the folder is such a CSV. Both sources follow the same
rules for names. Shapes: N images.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kmpl.datasets.image_files import given_labels, labels_file, scan
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.errors import FileError
from kmpl.formats.given_labels import NO_RULES, Rules
from kmpl.images.conversion import PLAIN, Conversion
from kmpl.images.file_kinds import by_content_sentence
from kmpl.images.reading import OnProgress, ReadImage, read_files

DEFAULT_SIZE_PIXELS = 32
"""Side of the images, if the caller gives none."""


@dataclass(frozen=True, slots=True)
class FolderImages:
    """All readable images of a folder, in the order of their paths."""

    root: Path
    files: tuple[str, ...]
    """(N,) relative to the root, with ``/``, sorted."""
    images: Tensor = field(repr=False)
    """(N, channels, size, size) uint8; letterboxed, so the aspect ratio is kept."""
    labels: np.ndarray = field(repr=False)
    """(N,) int64 in [0, C), −1 = unlabelled."""
    classes: tuple[str, ...]
    """Names of the C classes, sorted."""
    digests: tuple[str, ...] = field(repr=False)
    """(N,) SHA-256 of each file's bytes: copies of one file have the same."""
    left_out: dict[str, str]
    """Files that look like images but cannot be read, each with the reason."""
    labels_file: Path | None = None
    """CSV that the labels are from; None: the names of sub-folders are the labels."""
    label_notes: tuple[str, ...] = ()
    """Labels whose reading may not be the intended one, a sentence each."""
    unreviewed: frozenset[str] = frozenset()
    """Files whose given label kmpl assigned earlier, and no person has changed since."""
    by_cluster: frozenset[str] = frozenset()
    """Files whose given label is the name of their cluster: a person gave it, and did not look at the image."""
    conversion: Conversion = PLAIN
    """How the files became pixels; later readings need it."""
    reading_notes: tuple[str, ...] = ()
    """What the user should know about the reading of the files, a sentence each."""
    frozen: FrozenFeatures | None = None
    """Features of all images by a backbone, if there is one."""

    @property
    def checked(self) -> np.ndarray:
        """(N,) bool: images with a given label at which a person looked."""
        unchecked = self.unreviewed | self.by_cluster
        return (self.labels != UNLABELLED) & np.array([file not in unchecked for file in self.files], dtype=bool)

    @property
    def by_person(self) -> np.ndarray:
        """(N,) bool: images with a label that a person gave, to the image or to its cluster."""
        return (self.labels != UNLABELLED) & np.array([file not in self.unreviewed for file in self.files], dtype=bool)

    @property
    def conflicts(self) -> list[tuple[str, ...]]:
        """Groups of labelled files with the same content and different labels."""
        copies = defaultdict(list)
        for i in np.flatnonzero(self.labels != UNLABELLED):
            copies[self.digests[i]].append(int(i))
        return [tuple(self.files[i] for i in group) for group in copies.values() if len(set(self.labels[group])) > 1]


def read_folder(
    root: Path,
    labels: Path | None = None,
    *,
    size: int = DEFAULT_SIZE_PIXELS,
    channels: int = 0,
    on_progress: OnProgress = lambda done, total: None,  # noqa: ARG005
    rules: Rules = NO_RULES,
) -> FolderImages:
    """Return all images of a folder with their labels; the number of threads does not change the result.

    Args:
        root: the folder.
        labels: CSV with the columns file and label. Default: ``labels.csv`` in the folder; if the folder has none, the
            names of sub-folders are the labels.
        size: side of the resulting images, pixels.
        channels: 1 (grey), 3 (colour), or 0: grey if all images are grey, else colour.
        on_progress: called after each file.
        rules: the user's decisions on ambiguous names and labels.

    Raises:
        UserError: no readable image, the CSV does not fit the folder, or the sub-folders are no classes.
    """
    by_content: list[str] = []
    files, left_out = scan(root, by_content.append)
    table = labels_file(root, labels)
    given = given_labels(root, table, files, rules)
    reading = read_files(root, files, size=size, channels=channels or None, on_progress=on_progress)
    images, unreadable = _by_outcome(root, dict(zip(files, reading.images, strict=True)))
    classes, class_numbers = numbered([given.labels.get(file) for file in images])
    return FolderImages(
        root=root,
        files=tuple(images),
        images=_stacked([image.pixels for image in images.values()], channels),
        labels=class_numbers,
        classes=classes,
        digests=tuple(image.digest for image in images.values()),
        left_out=dict(sorted({**left_out, **unreadable}.items())),
        labels_file=table,
        label_notes=given.notes,
        unreviewed=given.unreviewed,
        by_cluster=given.by_cluster,
        conversion=reading.conversion,
        reading_notes=(*by_content_sentence(by_content), *reading.notes),
    )


def _by_outcome(root: Path, readings: dict[str, ReadImage | str]) -> tuple[dict[str, ReadImage], dict[str, str]]:
    """Return the files that were read, each with its image, and those that cannot be, each with the reason."""
    images = {file: image for file, image in readings.items() if isinstance(image, ReadImage)}
    reasons = {file: reason for file, reason in readings.items() if isinstance(reason, str)}
    if not images:
        file, reason = next(iter(reasons.items()))
        raise FileError(f"{root}: none of {len(readings)} images can be read; {file}: {reason}", root)
    return images, reasons


def numbered(names: Sequence[str | None]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the C class names, sorted, and the number of each image's class, (N,); None, no label, becomes −1."""
    classes = tuple(sorted({name for name in names if name is not None}))
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([UNLABELLED if name is None else numbers[name] for name in names], dtype=np.int64)


def _stacked(pictures: list[np.ndarray], channels: int) -> Tensor:
    """Return images (height, width, 1 or 3) as one tensor (N, channels, height, width)."""
    depth = channels or max(picture.shape[-1] for picture in pictures)
    stacked = np.empty((len(pictures), depth, *pictures[0].shape[:2]), dtype=np.uint8)
    for image, picture in zip(stacked, pictures, strict=True):
        image[:] = picture.transpose(2, 0, 1)  # grey goes into all channels
    return torch.from_numpy(stacked)
