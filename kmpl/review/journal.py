"""The journal of a review: JSON lines that are only ever appended, each on the disk before anybody hears of it.

A killed process loses nothing but the line that it was writing: such a cut last line is dropped when the journal is
opened again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmpl.errors import FileError
from kmpl.review.decisions import Decision, Undo, Written, parse
from kmpl.runtime.files import describe
from kmpl.runtime.locks import try_hold

FILE = "journal.jsonl"


class Journal:
    """A journal, and the rows that it holds so far."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Read the rows; a process that may write drops a cut last line.

        Raises:
            FileError: the journal cannot be read, or a line in it is damaged.
        """
        self.path = path
        self.read_only = read_only
        """Another process writes the journal; this one only reads what it wrote."""
        self.rows: list[Decision | Undo | Written] = []
        self._bytes = 0  # of the lines that were read
        self.refresh()
        if not read_only:
            self._drop_cut_line()

    def refresh(self) -> bool:
        """Read the lines that were written since; return whether there were any.

        Raises:
            FileError: the journal cannot be read, or a line in it is damaged.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._bytes)
                text = file.read()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FileError(f"cannot read {self.path}: {error.strerror or error}", self.path) from error
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                self.rows.append(parse(line))
            except ValueError as error:
                where = f"{self.path} line {len(self.rows) + 1}"
                raise FileError(
                    f"{where}: is damaged; remove the lines from there on, or the file", self.path
                ) from error
        self._bytes += len(whole)
        return bool(whole)

    def append(self, row: Decision | Undo | Written) -> None:
        """Write a row; it is on the disk when this returns.

        Raises:
            FileError: another process writes the journal, or the file system refuses.
        """
        if self.read_only:
            raise FileError(f"{self.path}: another process writes it; decide there, or end it first", self.path)
        line = row.model_dump_json().encode() + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._drop_cut_line()  # a disk that was full took a part of the line
            raise FileError(describe(error, self.path), self.path) from error
        self.rows.append(row)
        self._bytes += len(line)

    def _drop_cut_line(self) -> None:
        if self.path.exists() and self.path.stat().st_size > self._bytes:
            os.truncate(self.path, self._bytes)


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Yield the journal in a folder; while another process has it open, it can only be read.

    Raises:
        FileError: the journal cannot be read or made, or a line in it is damaged.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(describe(error, path), path) from error
    with try_hold(path.with_suffix(".lock")) as is_held:
        yield Journal(path, read_only=not is_held)
