"""MNIST, which travels with the package: verified, unpacked once into the files that torchvision reads too."""

import gzip
import os
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch

from kmpl.datasets.types import Images
from kmpl.errors import FileError
from kmpl.runtime.files import cache_folder, describe, sha256

PACKED = Path(__file__).with_name("mnist_files")

# name: SHA-256 packed, SHA-256 unpacked
DIGESTS = {
    "train-images-idx3-ubyte": (
        "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def _unpack(target: Path) -> None:
    """Unpack the four verified files beside ``target`` and move them there whole: no reader ever sees half of one."""
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-"))
    try:
        for name, (packed, _) in DIGESTS.items():
            path = PACKED / f"{name}.gz"
            digest = sha256(path) if path.is_file() else "no file"
            if digest != packed:
                raise FileError(
                    f"{path} is damaged: expected SHA-256 {packed}, found {digest}; install kmpl again", path
                )
            with gzip.open(path, "rb") as source, (draft / name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
        target.mkdir(exist_ok=True)
        for name in DIGESTS:  # each in one move: another process that reads or unpacks the same files is not disturbed
            (draft / name).replace(target / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _state(target: Path) -> str:
    """Return intact, absent or damaged."""
    files = [target / name for name in DIGESTS]
    if not all(file.is_file() for file in files):
        return "absent"
    intact = all(
        _digest(file, (file.stat().st_mtime_ns, file.stat().st_size)) == DIGESTS[file.name][1] for file in files
    )
    return "intact" if intact else "damaged"


@cache
def _digest(path: Path, written: tuple[int, int]) -> str:  # noqa: ARG001
    """Return the digest of a file, computed once for each time (and size) that it was written."""
    return sha256(path)


def unpacked_folder() -> Path:
    """Return the folder that ``torchvision.datasets.MNIST`` reads, unpacking into the cache where needed.

    Raises:
        UserError: a packed file is not what was shipped, or the cache cannot be written.
    """
    root = cache_folder() / "datasets"
    target = root / "MNIST" / "raw"
    state = _state(target)
    if state != "intact":
        if state == "damaged":
            warnings.warn(f"{target} was damaged and is unpacked again", stacklevel=2)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _unpack(target)
        except OSError as error:
            hint = f"; set KMPL_CACHE to another folder (now {os.environ.get('KMPL_CACHE') or cache_folder()})"
            raise FileError(describe(error, target) + hint, target) from error
    return root


def read(train: bool) -> Images:
    """Return the 60,000 training or the 10,000 test images, (N, 1, 28, 28) uint8.

    Read here and not by torchvision, whose import takes longer than most commands that read them.
    """
    part = "train" if train else "t10k"
    raw = unpacked_folder() / "MNIST" / "raw"
    images = np.fromfile(raw / f"{part}-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(raw / f"{part}-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    return Images(images=torch.from_numpy(images), labels=torch.from_numpy(labels).long(), classes=tuple("0123456789"))
