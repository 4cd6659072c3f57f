"""Files that a command will write at its end: refused before any work is done."""

import os
from pathlib import Path

from kmpl.errors import UserError


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
        raise UserError(f"{flag} {path}: there is no folder {folder}; make it first")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{flag} {path}: cannot be written; name a file in a folder that you may write to")
    if path.exists() and not overwrite:
        raise UserError(f"{flag} {path}: exists; give --overwrite or another name")
