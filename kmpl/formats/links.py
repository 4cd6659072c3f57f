"""Folders of images for other tools: hard links or copies; the originals are never moved."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from kmpl.errors import FileError


def flat_names(files: Sequence[str]) -> dict[str, str]:
    """Return a name without folders for each file, none twice.

    >>> flat_names(["a.png", "b/a.png", "b__a.png"])
    {'a.png': 'a.png', 'b/a.png': 'b__a.png', 'b__a.png': 'b__a_2.png'}
    """
    taken: set[str] = set()
    names = {}
    for file in files:
        flat = file.replace("/", "__")
        path = Path(flat)
        name = flat
        number = 1
        while name.casefold() in taken:  # some file systems do not tell case apart
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        taken.add(name.casefold())
        names[file] = name
    return names


def link_all(targets: Mapping[Path, Path]) -> None:
    """Make each target a hard link to its source, or a copy where the file system has none.

    Raises:
        FileError: a file cannot be written or read.
    """
    for source, target in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source.resolve(), target)
            except OSError:  # another file system, or one without links
                shutil.copy2(source, target)
        except OSError as error:
            raise FileError(f"cannot write {target}: {error.strerror or error}", target) from error
