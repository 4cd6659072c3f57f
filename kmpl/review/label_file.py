"""The file of labels that a review ends in is never written over what a person changed in it."""

from collections.abc import Collection
from pathlib import Path

from kmpl.errors import FileError
from kmpl.runtime.files import sha256
from kmpl.runtime.output_paths import free_name


def check_unchanged(path: Path, written: Collection[str]) -> None:
    """Refuse to write over a file that a person, or another program, changed.

    Args:
        path: the file that would be written anew.
        written: SHA-256 of each content that may be replaced.

    Raises:
        FileError: the file is none of these.
    """
    if path.exists() and sha256(path) not in written:
        problem = "was changed since kmpl wrote it; nothing was written"
        raise FileError(f"{path}: {problem}; write {free_name(path).name} instead, or move your file away", path)
