"""A folder of labelled images as a data set, ``folder:PATH``, with a fixed training part and test part."""

import hashlib
import json
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from kmpl.datasets.image_files import LABELS_FILE, scan
from kmpl.datasets.image_folder import DEFAULT_SIZE_PIXELS, FolderImages, read_folder
from kmpl.datasets.types import UNLABELLED, Images
from kmpl.errors import FileError, LabelsWarning, LeftOutWarning, ReadingWarning, UserError

PREFIX = "folder:"
_PLACES: dict[str, Path] = {}
_ONE_TEST_IMAGE_IN = 5
MAX_PATH_LENGTH = 480
"""Characters; MLflow names data sets by their path, in at most 500."""


def read(name: str, train: bool, size: int = 0) -> Images:
    """Return the training part or the test part of the labelled images of ``folder:PATH``.

    The test part is a fifth of each class. The content of the files decides which images it holds, so it is the same on
    every machine and in every run, and copies of one file are always in the same part. Unlabelled images are in neither
    part.

    Args:
        name: ``folder:`` and the path.
        train: True = training part, False = test part.
        size: side of the images in pixels; 0 = 32.

    Raises:
        UserError: no such folder, a path that is too long, or fewer than two classes with two different images each.
    """
    root = root_of(name)
    folder = _read_once(root, size or DEFAULT_SIZE_PIXELS, _state(root))
    part = np.flatnonzero((folder.labels != UNLABELLED) & (is_test(folder) != train))
    return Images(
        images=folder.images[part],
        labels=torch.from_numpy(folder.labels[part]),
        classes=folder.classes,
        conversion=folder.conversion,
    )


def content(name: str) -> str:
    """Return the digest of all images of ``folder:PATH`` and their labels: results on the data set depend on it.

    Raises:
        UserError: as ``read``.
    """
    root = root_of(name)
    folder = _read_once(root, DEFAULT_SIZE_PIXELS, _state(root))
    digest = hashlib.sha256()
    for file, image, label in zip(folder.files, folder.digests, folder.labels, strict=True):
        class_name = folder.classes[label] if label != UNLABELLED else ""
        digest.update(f"{file}\0{image}\0{class_name}\0".encode())
    if folder.conversion:  # with another one the same bytes are other pixels
        digest.update(json.dumps(folder.conversion.record(), sort_keys=True).encode())
    return digest.hexdigest()


def place(name: str, root: Path) -> None:
    """Let this process read ``folder:PATH`` from another folder of the same content: PATH is another machine's."""
    _PLACES[name] = root


def root_of(name: str) -> Path:
    """Return the folder that ``folder:PATH`` is read from.

    Raises:
        UserError: a path that is too long.
    """
    if name in _PLACES:
        return _PLACES[name]
    path = name.removeprefix(PREFIX)
    if len(path) > MAX_PATH_LENGTH:
        raise UserError(
            f"the path of the data set has {len(path)} characters, {path[:40]}…{path[-40:]}; give one of at most "
            f"{MAX_PATH_LENGTH}: from a folder nearer to it, or by a link"
        )
    return Path(path).expanduser()


def _state(root: Path) -> str:
    """Return a digest of paths, sizes and times of the folder's files: it changes when a file does."""
    digest = hashlib.sha256()
    table = root / LABELS_FILE
    for path in [*(root / name for name in scan(root)[0]), *([table] if table.is_file() else [])]:
        status = path.stat()
        digest.update(f"{path} {status.st_mtime_ns} {status.st_size}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=2)  # pool and test set ask for the same folder, and each of them more than once
def _read_once(root: Path, size: int, state: str) -> FolderImages:
    folder = read_folder(root, size=size)
    if folder.left_out:
        file, reason = next(iter(folder.left_out.items()))
        message = f"{len(folder.left_out)} files cannot be read and are left out, the first {file}: {reason}"
        _warn_once(f"{root}: {message}", LeftOutWarning, state)
    for note in folder.label_notes:
        _warn_once(f"{root}: {note}", LabelsWarning, state)
    for note in folder.reading_notes:
        _warn_once(f"{root}: {note}", ReadingWarning, state)
    return folder


@lru_cache(maxsize=64)  # a folder is read again for each size, with the same warnings
def _warn_once(message: str, category: type[Warning], state: str) -> None:  # noqa: ARG001  (part of the cache's key)
    warnings.warn(message, category, stacklevel=2)


def is_test(folder: FolderImages) -> np.ndarray:
    """Return which images are in the test part, (N,) bool: of each class the fifth with the smallest digests.

    Raises:
        UserError: fewer than two classes, or a class with one image, which leaves nothing to test on.
    """
    if len(folder.classes) < 2:
        names = folder.classes[0] if folder.classes else "none"
        raise FileError(
            f"{folder.root}: a data set needs at least 2 classes, it has {len(folder.classes)} ({names}); "
            "make a sub-folder for each class, or a labels.csv with the columns file and label",
            folder.root,
        )
    digests = np.array(folder.digests)
    test_digests = set[str]()
    for number, name in enumerate(folder.classes):
        contents = np.unique(digests[folder.labels == number])
        if len(contents) < 2:
            raise FileError(
                f"{folder.root}: class {name} has one image; give it one to train and one to test on", folder.root
            )
        test_digests |= set(contents[: max(1, round(len(contents) / _ONE_TEST_IMAGE_IN))].tolist())
    return np.isin(digests, list(test_digests))
