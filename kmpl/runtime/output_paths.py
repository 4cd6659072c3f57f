"""Files that a command will write at its end: refused before any work is done."""

import os
from collections.abc import Mapping
from pathlib import Path

from kmpl.errors import FileError


def check_apart(paths: Mapping[str, Path | None]) -> None:
    """Refuse two of a command's files that are one: what is written would replace what was read or written before.

    Args:
        paths: The files by the flag that each was given with.

    Raises:
        UserError: two are the same.
    """
    seen: dict[Path, str] = {}
    for flag, path in paths.items():
        if path is not None and (first := seen.setdefault(path.resolve(), flag)) != flag:
            raise FileError(f"{flag} {path}: is the same file as {first}; give another name", path)


def check_target(path: Path, flag: str, overwrite: bool = True) -> None:
    """Refuse a file that could not be written at the end.

    Args:
        path: The file.
        flag: What it was given with, for the message.
        overwrite: Whether it may exist.

    Raises:
        UserError: no such folder, not allowed, a folder itself, or there already.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileError(f"{flag} {path}: there is no folder {folder}; make it first", path)
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise FileError(f"{flag} {path}: cannot be written; name a file in a folder that you may write to", path)
    if path.exists() and not overwrite:
        raise FileError(f"{flag} {path}: exists; give --overwrite or another name", path)
