"""Checks of output paths before any work: each file must be writable, and no two may be the same."""

import os
from collections.abc import Mapping
from pathlib import Path

from kmpl.errors import FileError


def check_apart(paths: Mapping[str, Path | None]) -> None:
    """Refuse two paths of a command that are the same file: writing one would overwrite the other.

    Args:
        paths: The files, by flag of the command line.

    Raises:
        UserError: two are the same file.
    """
    flags: dict[Path, str] = {}
    for flag, path in paths.items():
        if path is not None and (first := flags.setdefault(path.resolve(), flag)) != flag:
            raise FileError(f"{flag} {path}: is the same file as {first}; give another name", path)


def free_name(path: Path) -> Path:
    """Return the path, or the first of ``NAME_2``, ``NAME_3``, … that does not exist."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free


def check_target(path: Path, flag: str, overwrite: bool = True) -> None:
    """Refuse an output path that is not writable.

    Args:
        path: The file.
        flag: Its flag of the command line, for the message.
        overwrite: Allow a file that exists.

    Raises:
        UserError: no such folder, no permission, the path is a folder, or the file exists.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileError(f"{flag} {path}: there is no folder {folder}; make it first", path)
    if path.is_dir():
        raise FileError(f"{flag} {path}: is a folder; name a file", path)
    if not os.access(folder, os.W_OK):
        raise FileError(f"{flag} {path}: cannot be written; name a file in a folder that you may write to", path)
    if path.exists() and not overwrite:
        raise FileError(f"{flag} {path}: exists; give --overwrite or another name", path)
