"""Features of many images in shards: NumPy files that are mapped into memory, not read into it.

Shapes: n images in a shard, D feature dimension.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from kmpl.errors import FileError
from kmpl.runtime.files import whole_file


class MappedShards(Sequence[np.ndarray]):
    """Arrays (n, D) in ``.npy`` files, one a shard; each is mapped anew whenever it is asked for."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Take files; they are opened later, but their heads are read now.

        Raises:
            FileError: one is no array of rows, or its rows are not as long as those of the first.
        """
        self.files = tuple(files)
        shapes = [_open(file).shape for file in self.files]
        for file, shape in zip(self.files, shapes, strict=True):
            if len(shape) != 2 or shape[1] != shapes[0][1]:
                raise FileError(f"{file}: has the shape {shape}, the first shard {shapes[0]}; give equal rows", file)
        self.sizes = tuple(shape[0] for shape in shapes)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, i: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, i: slice) -> "MappedShards": ...
    def __getitem__(self, i: int | slice) -> "np.ndarray | MappedShards":
        return MappedShards(self.files[i]) if isinstance(i, slice) else _open(self.files[i])


def _open(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise FileError(f"{file} cannot be read: {reason}; write this shard again", file) from error


class ShardFolder:
    """A folder of this run's own, for arrays that are made shard by shard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, arrays: Iterable[np.ndarray]) -> MappedShards:
        """Write one array (n, D) a shard under a name, each file whole or not at all.

        Raises:
            FileError: the file system refuses.
        """
        files = []
        for number, array in enumerate(arrays):
            files.append(self.folder / f"{name}-{number:06}.npy")
            with whole_file(files[-1]) as draft:
                np.save(draft, array, allow_pickle=False)
        return MappedShards(files)


def named_shards(folder: Path) -> tuple[list[str], MappedShards]:
    """Return the names of all images, and their features as they are, of a folder of shards.

    A shard is an array ``NAME.npy`` (n, D) of numbers beside ``NAME.txt``, which has the name of each row in a line:
    the path of an image relative to the folder that is labelled. Shards go by the order of their names.

    Raises:
        FileError: no shard, no names beside one, a damaged one, other numbers of rows than names, or a name twice.
    """
    shards = MappedShards(sorted(folder.glob("*.npy")))
    if not shards.files:
        raise FileError(f"{folder}: has no shard of features; write NAME.npy and NAME.txt (a name a line)", folder)
    names: list[str] = []
    for file, size in zip(shards.files, shards.sizes, strict=True):
        beside = file.with_suffix(".txt")
        try:
            own = beside.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8"
            raise FileError(f"{beside}: the names of {file.name} cannot be read: {reason}", beside) from error
        if len(own) != size:
            line = f"{beside}: {len(own):,} names, but {file.name} has {size:,} rows; give each a name"
            raise FileError(line, beside)
        names += own
    if len(set(names)) < len(names):
        seen = set[str]()
        for name in names:
            if name in seen:
                raise FileError(f"{folder}: {name} comes twice; give each image one row", folder)
            seen.add(name)
    return names, shards
