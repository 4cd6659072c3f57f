"""All files in a folder and below it, each once, whatever links there are."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_SYSTEMS = frozenset(
    {
        "@eadir",  # Synology: thumbnails
        "@__thumb",  # QNAP: the same
        "@recycle",
        "#recycle",
        "@recently-snapshot",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__macosx",  # what macOS puts into archives
        "__pycache__",
    }
)
"""Folders that systems make, in lower case: what lies there is a thumbnail, deleted, or no picture."""


def walk(root: Path, refused: Callable[[str, OSError], None]) -> Iterator[str]:
    """Yield the paths of all files, relative to ``root``, with ``/``.

    Hidden files and folders are passed over, and folders that systems make. A link to a folder is followed only if that
    folder lies apart from all that is walked already, so that no loop is walked and no file comes twice.

    Args:
        root: the folder.
        refused: told of each folder that cannot be read (relative, empty for ``root`` itself), and why.
    """
    trees, waiting = [root.resolve()], [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            refused(prefix, error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name.lower() not in _SYSTEMS:
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
            elif entry.is_symlink() and Path(entry.path).is_dir():  # the entry's own is_dir fails on a loop
                target = Path(entry.path).resolve()
                apart = not any(target.is_relative_to(tree) or tree.is_relative_to(target) for tree in trees)
                if apart and entry.name.lower() not in _SYSTEMS:
                    trees.append(target)
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name
