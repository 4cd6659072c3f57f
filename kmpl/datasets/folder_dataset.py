"""A folder of labelled images as a data set, ``folder:PATH``, with a test part that stays the same."""

import hashlib
import json
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from kmpl.datasets.image_folder import SIZE, FolderImages, read_folder, scan
from kmpl.datasets.types import UNLABELLED, Images
from kmpl.errors import FileError, LabelsWarning, LeftOutWarning, ReadingWarning, UserError

PREFIX = "folder:"
_TEST = 5  # every fifth
LONGEST = 480
"""Characters of a path; MLflow names data sets by theirs, in at most 500."""


def read(name: str, train: bool, size: int = 0) -> Images:
    """Return the training or the test part of the labelled images of ``folder:PATH``.

    The test part is a fifth of each class, chosen by the content of the files: the same on every machine and in every
    run, and copies of one file are always on the same side. Images without a label are left out.

    Args:
        name: ``folder:`` and the path.
        train: which part.
        size: side of the images in pixels; 0 = 32.

    Raises:
        UserError: no such folder, a path that is too long, or fewer than two classes with two different images each.
    """
    root = _root(name)
    found = _read_once(root, size or SIZE, _state(root))
    chosen = np.flatnonzero((found.labels != UNLABELLED) & (tested(found) != train))
    return Images(
        images=found.images[chosen],
        labels=torch.from_numpy(found.labels[chosen]),
        classes=found.classes,
        ranges=found.ranges,
    )


def content(name: str) -> str:
    """Return the digest of all images of ``folder:PATH`` and their labels: what a result on it depends on.

    Raises:
        UserError: as ``read``.
    """
    root = _root(name)
    found = _read_once(root, SIZE, _state(root))
    digest = hashlib.sha256()
    for file, image, label in zip(found.files, found.digests, found.labels, strict=True):
        given = found.classes[label] if label != UNLABELLED else ""
        digest.update(f"{file}\0{image}\0{given}\0".encode())
    if found.ranges:  # the same bytes are other pixels
        digest.update(json.dumps(found.ranges, sort_keys=True).encode())
    return digest.hexdigest()


def _root(name: str) -> Path:
    path = name.removeprefix(PREFIX)
    if len(path) > LONGEST:
        raise UserError(
            f"the path of the data set has {len(path)} characters, {path[:40]}…{path[-40:]}; give one of at most "
            f"{LONGEST}: from a folder nearer to it, or by a link"
        )
    return Path(path).expanduser()


def _state(root: Path) -> str:
    """Return what changes when files of a folder do."""
    digest = hashlib.sha256()
    table = root / "labels.csv"
    for path in [*(root / name for name in scan(root)[0]), *([table] if table.is_file() else [])]:
        about = path.stat()
        digest.update(f"{path} {about.st_mtime_ns} {about.st_size}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=2)  # pool and test ask for the same folder, and each of them more than once
def _read_once(root: Path, size: int, state: str) -> FolderImages:
    found = read_folder(root, size=size)
    if found.left_out:
        file, why = next(iter(found.left_out.items()))
        said = f"{len(found.left_out)} files cannot be read and are left out, the first {file}: {why}"
        _say_once(f"{root}: {said}", LeftOutWarning, state)
    for said in found.notes:
        _say_once(f"{root}: {said}", LabelsWarning, state)
    for said in found.said:
        _say_once(f"{root}: {said}", ReadingWarning, state)
    return found


@lru_cache(maxsize=64)  # a folder is read again for each size, and says the same
def _say_once(said: str, kind: type[Warning], state: str) -> None:  # noqa: ARG001  (of the key)
    warnings.warn(said, kind, stacklevel=2)


def tested(found: FolderImages) -> np.ndarray:
    """Return which images are for the test, (N,) bool: of each class the fifth whose digests come first.

    Raises:
        UserError: fewer than two classes, or a class of which there is nothing to test on.
    """
    if len(found.classes) < 2:
        names = found.classes[0] if found.classes else "none"
        raise FileError(
            f"{found.root}: a data set needs at least 2 classes, it has {len(found.classes)} ({names}); "
            "make a sub-folder for each class, or a labels.csv with the columns file and label",
            found.root,
        )
    digests = np.array(found.digests)
    chosen = set[str]()
    for number, name in enumerate(found.classes):
        different = np.unique(digests[found.labels == number])
        if len(different) < 2:
            raise FileError(
                f"{found.root}: class {name} has one image; give it one to train and one to test on", found.root
            )
        chosen |= set(different[: max(1, round(len(different) / _TEST))].tolist())
    return np.isin(digests, list(chosen))
