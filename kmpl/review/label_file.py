"""The file of labels that a review ends in is never written over what a person changed in it."""

from collections.abc import Collection, Iterable
from pathlib import Path

from kmpl.errors import FileError
from kmpl.review.decisions import Written
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


def digests_written(rows: Iterable[object], path: Path) -> set[str]:
    """Return the SHA-256 of each content that a review wrote to a file.

    It wrote them there, or where nothing lies any more: then the file was moved, with its folder perhaps.

    Args:
        rows: of its journal.
        path: the file.
    """
    written = [row for row in rows if isinstance(row, Written)]
    return {row.digest for row in written if row.file == str(path.resolve()) or not Path(row.file).exists()}
