"""A CSV as spreadsheets and scripts write it, read strictly: what cannot be told is refused with its line."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kmpl.errors import FileError
from kmpl.formats.class_names import tidy

if TYPE_CHECKING:
    from _csv import Reader

_SEPARATORS = ",;\t|"
_SAID = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # a first line by which Excel is told
_QUOTED = re.compile(r' +"')  # written by hand, after a separator and a blank
_ENDLESS = ("unexpected end of data", "field larger than field limit")


@dataclass(frozen=True)
class Row:
    """One record that is not empty."""

    line: int
    """Line of the file on which it begins, counted from 1."""
    cells: list[str]
    following: list[str]
    """Further lines that it takes in, by quotes that close there."""


@dataclass(frozen=True)
class Table:
    """A CSV whose first line names its columns."""

    path: Path
    separator: str
    columns: list[str]
    """Names in lower case."""
    _lines: list[str] = field(repr=False)
    _above: int = field(repr=False)
    """Lines of the file above the first of these."""

    def rows(self) -> Iterator[Row]:
        """Yield every record below the first line.

        Raises:
            UserError: a quote that is not closed, or a record with more cells than there are columns.
        """
        reader = self._reader(self._lines)
        next(reader)
        while reader.line_num < len(self._lines):
            start = reader.line_num
            line = self._above + start + 1
            try:
                cells = next(reader)
                if any(_QUOTED.match(cell) for cell in cells) and reader.line_num == start + 1:
                    cells = next(self._reader(self._lines[start : start + 1], skip_blanks=True))
            except csv.Error as error:
                raise FileError(
                    f"{self.path} line {line}: {_wrong(error, self._above + reader.line_num)}", self.path
                ) from error
            if any(cell.strip() for cell in cells[len(self.columns) :]):
                many = f"has {len(cells)} cells, but the first line names {len(self.columns)} columns"
                raise FileError(
                    f"{self.path} line {line}: {many}; put cells with a '{self.separator}' in quotes", self.path
                )
            if any(cell.strip() for cell in cells):
                yield Row(line, cells, self._lines[start + 1 : reader.line_num])

    def _reader(self, lines: list[str], skip_blanks: bool = False) -> "Reader":
        return csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=skip_blanks)


def open_table(path: Path, needed: Collection[str]) -> Table:
    """Return a CSV that has the ``needed`` columns.

    Commas, semicolons, tabs or bars separate, whichever gives these columns; a first line like ``sep=;`` says it. A
    byte order mark and Windows line ends are all right.

    Raises:
        UserError: no such file, no text in UTF-8, no such columns, or the separator cannot be told.
    """
    lines = io.StringIO(_text(path), newline="").readlines()
    said = _SAID.fullmatch(lines[0]) if lines else None
    lines, above = (lines[1:], 1) if said else (lines, 0)
    head = lines[0].strip() if lines else ""
    found = {mark: _columns(lines, mark) for mark in (said[1] if said else _SEPARATORS)}
    fits = [mark for mark, columns in found.items() if set(needed) <= set(columns)]
    if len(fits) == 1:
        return Table(path, fits[0], found[fits[0]], lines, above)
    words = {tidy(word).casefold() for word in re.split(f"[{_SEPARATORS}]", head)}
    if set(needed) <= words:
        mark = f"'sep={said[1]}' is not what it is separated by" if said else "its separators are mixed"
        raise FileError(
            f"{path} line {above + 1}: '{head[:80]}': {mark}; use commas, semicolons or tabs throughout", path
        )
    names = " and ".join(needed)
    raise FileError(f"{path}: the first line must name the columns {names}; it is '{head[:80]}'", path)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no text in UTF-8: save it as 'CSV UTF-8'", path) from error


def _columns(lines: list[str], separator: str) -> list[str]:
    try:
        return [tidy(name).casefold() for name in next(csv.reader(lines[:1], delimiter=separator, strict=True), [])]
    except csv.Error:  # a quote that is not closed on this line
        return []


def _wrong(error: csv.Error, line: int) -> str:
    """Return what is wrong with a record that ends in an error on a line."""
    if str(error).startswith(_ENDLESS):
        return "a quote that opens here is never closed; close it, or double those that belong to the text"
    if "expected after" in str(error):
        return f"a quoted cell that begins here goes on behind its quote in line {line}; close it, or double the quote"
    return f"no CSV: {error}"
