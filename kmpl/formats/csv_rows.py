"""Rows of a CSV, read strictly: an ambiguous row is refused with its line number."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kmpl.errors import FileError
from kmpl.formats.class_names import normalise

if TYPE_CHECKING:
    from _csv import Reader

_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # a first line for Excel
_BLANK_BEFORE_QUOTE = re.compile(r' +"')  # people type a blank between separator and quote
_UNCLOSED_QUOTE_ERRORS = ("unexpected end of data", "field larger than field limit")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a CSV, not empty."""

    line: int
    """Number of its first line in the file, from 1."""
    cells: list[str]
    following: list[str]
    """Its further lines, if a quoted cell spans several lines."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV whose first line names its columns."""

    path: Path
    separator: str
    columns: list[str]
    """Names in lower case."""
    _lines: list[str] = field(repr=False)
    _above: int = field(repr=False)
    """Lines of the file above the first of ``_lines``."""

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
                if any(_BLANK_BEFORE_QUOTE.match(cell) for cell in cells) and reader.line_num == start + 1:
                    cells = next(self._reader(self._lines[start : start + 1], skip_blanks=True))
            except csv.Error as error:
                raise FileError(
                    f"{self.path} line {line}: {_reason(error, self._above + reader.line_num)}", self.path
                ) from error
            if any(cell.strip() for cell in cells[len(self.columns) :]):
                excess = f"has {len(cells)} cells, but the first line names {len(self.columns)} columns"
                raise FileError(
                    f"{self.path} line {line}: {excess}; put cells with a '{self.separator}' in quotes", self.path
                )
            if any(cell.strip() for cell in cells):
                yield Row(line, cells, self._lines[start + 1 : reader.line_num])

    def _reader(self, lines: list[str], skip_blanks: bool = False) -> "Reader":
        return csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=skip_blanks)


def open_table(path: Path, required: Collection[str]) -> Table:
    """Return a CSV that has the ``required`` columns.

    The separator is a comma, semicolon, tab or bar: the one that gives these columns, or the one that a first line like
    ``sep=;`` names. A byte order mark and Windows line ends are allowed.

    Raises:
        UserError: no such file, no text in UTF-8, no such columns, or an ambiguous separator.
    """
    lines = io.StringIO(_text(path), newline="").readlines()
    declared = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    above = 1 if declared else 0
    lines = lines[above:]
    head = lines[0].strip() if lines else ""
    columns = {separator: _columns(lines, separator) for separator in (declared[1] if declared else _SEPARATORS)}
    possible = [separator for separator, names in columns.items() if set(required) <= set(names)]
    if len(possible) == 1:
        return Table(path, possible[0], columns[possible[0]], lines, above)
    words = {normalise(word).casefold() for word in re.split(f"[{_SEPARATORS}]", head)}
    if set(required) <= words:
        problem = f"'sep={declared[1]}' does not name its separator" if declared else "its separators are mixed"
        raise FileError(
            f"{path} line {above + 1}: '{head[:80]}': {problem}; use commas, semicolons or tabs throughout", path
        )
    required_names = " and ".join(required)
    raise FileError(f"{path}: the first line must name the columns {required_names}; it is '{head[:80]}'", path)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error
    except UnicodeDecodeError as error:
        problem = "is no text in UTF-8: name a CSV, and save it as 'CSV UTF-8'"
        raise FileError(f"{path} {problem}", path) from error


def _columns(lines: list[str], separator: str) -> list[str]:
    try:
        cells = next(csv.reader(lines[:1], delimiter=separator, strict=True), [])
    except csv.Error:  # a quote is not closed on this line
        return []
    return [normalise(name).casefold() for name in cells]


def _reason(error: csv.Error, line: int) -> str:
    """Return why a record cannot be read; ``line`` is the line on which the reader stopped."""
    if str(error).startswith(_UNCLOSED_QUOTE_ERRORS):
        return "a quote that opens here is never closed; close it, or double those that belong to the text"
    if "expected after" in str(error):
        return f"a quoted cell that begins here goes on behind its quote in line {line}; close it, or double the quote"
    return f"no CSV: {error}"
