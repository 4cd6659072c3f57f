"""All files of a folder and its sub-folders, each once, with loops and copies by links left out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_SYSTEM_FOLDERS = frozenset(
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
"""Folders that operating systems and storage devices make, in lower case: they hold thumbnails and deleted files."""


def walk(root: Path, on_unreadable: Callable[[str, OSError], None]) -> Iterator[str]:
    """Yield the paths of all files, relative to ``root``, with ``/``.

    Hidden files and folders are skipped, and so are folders that systems make. A link to a folder is followed only if
    that folder lies outside of all folders walked so far: no loop is walked and no file comes twice.

    Args:
        root: the folder.
        on_unreadable: called with each unreadable folder (relative path, empty for ``root`` itself) and the error.
    """
    trees = [root.resolve()]
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            on_unreadable(prefix, error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name.lower() not in _SYSTEM_FOLDERS:
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
            elif entry.is_symlink() and Path(entry.path).is_dir():  # the entry's own is_dir fails on a loop
                target = Path(entry.path).resolve()
                overlaps = any(target.is_relative_to(tree) or tree.is_relative_to(target) for tree in trees)
                if not overlaps and entry.name.lower() not in _SYSTEM_FOLDERS:
                    trees.append(target)
                    waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name
