"""Labels from a CSV of a spreadsheet or a script: one row per image, with the columns ``file`` and ``label``."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kmpl.errors import FileError
from kmpl.formats.csv_rows import Row, Table, open_table
from kmpl.formats.given_labels import NO_RULES, GivenLabels, NameReader, Rules
from kmpl.formats.label_columns import LABEL, LabelColumns
from kmpl.formats.label_origins import LabelRow, counted_rows

FILE = "file"


def read_labels(path: Path, root: Path, files: Iterable[str], rules: Rules = NO_RULES) -> GivenLabels:
    """Return the given labels in a CSV; an empty label means "not labelled yet".

    The separator may be a comma, semicolon, tab or bar; a byte order mark, Windows line ends, quotes and further
    columns are allowed. A CSV that ``kmpl label`` wrote is allowed, too, once a person has worked on it (see
    ``counted_rows``).

    Args:
        path: the CSV.
        root: the folder of the images; paths in the CSV are relative to it, or absolute paths of files in it.
        files: all images of the folder, relative to ``root``, with ``/``.
        rules: the user's decisions on ambiguous names and labels.

    Raises:
        UserError: no such file, no CSV in UTF-8, no such columns, a file outside of the folder or absent, a file with
            two labels, or labels that kmpl assigned and nobody worked on.
    """
    table = open_table(path, (FILE, LABEL))
    names = NameReader(rules)
    if table.columns.count(FILE) > 1:
        raise FileError(f"{path}: two columns are called file; leave one", path)
    columns = LabelColumns(table, names)
    label_rows = list(_label_rows(table, columns, root, files))
    rows, notes = counted_rows(path, label_rows, from_label_studio=columns.from_label_studio, rules=rules)
    row_of: dict[str, LabelRow] = {}
    for row in rows:
        if row.label.name and (first := row_of.setdefault(row.file, row)).label.name != row.label.name:
            raise FileError(
                f"{path} line {row.line}: {row.file} is '{row.label.name}' here and '{first.label.name}' in line "
                f"{first.line}; give each file one label",
                path,
            )
    labels = {file: row.label.name for file, row in row_of.items()}
    unreviewed = frozenset(file for file, row in row_of.items() if row.assigned)
    return replace(names.given_labels(labels, "row", (*columns.notes, *notes)), unreviewed=unreviewed)


def _label_rows(table: Table, columns: LabelColumns, root: Path, files: Iterable[str]) -> Iterator[LabelRow]:
    """Yield every row with the image that it names.

    Raises:
        UserError: a row names no image of the folder, or an unclosed quote takes in the row of another image.
    """
    images = _ImageNames(root, files)
    file_column = table.columns.index(FILE)
    label_column = table.columns.index(LABEL)
    missing: list[tuple[str, str]] = []
    for row in table.rows():
        where = f"{table.path} line {row.line}"
        if len(row.cells) <= max(file_column, label_column):
            lack = f"has {len(row.cells)} of {len(table.columns)} columns"
            raise FileError(f"{where}: {lack}; the first line has '{table.separator}' between them", table.path)
        name = row.cells[file_column]
        if not name.strip():
            raise FileError(f"{where}: names no file", table.path)
        _check_quotes(row, table, file_column, images)
        try:
            file = images.find(name)
        except ValueError as error:
            raise FileError(f"{where}: {error}; give paths relative to {root}", table.path) from error
        if file is None:
            missing.append((where, name.strip()))
        else:
            yield LabelRow(row.line, file, columns.read(row))
    if missing:
        where, name = missing[0]
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FileError(f"{where}: {root} has no image {name}{others}; give paths relative to {root}", table.path)


def _check_quotes(row: Row, table: Table, file_column: int, images: "_ImageNames") -> None:
    """Refuse a row with an unclosed quote: its cell takes in the rows of other images, up to the next quote.

    Raises:
        UserError: a further line of the row names an image.
    """
    for number, line in enumerate(row.following, start=row.line + 1):
        cells = next(csv.reader([line], delimiter=table.separator), [])
        if len(cells) > file_column and (file := images.find_or_none(cells[file_column])):
            problem = f"a quote that opens here takes in line {number}, which names {file}"
            raise FileError(f"{table.path} line {row.line}: {problem}; close it where its cell ends", table.path)


class _ImageNames:
    """Finds the images of a folder by the paths that people and programs write."""

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self._root = root
        self._exact = set(files)
        self._composed = {_composed(file): file for file in sorted(self._exact)}

    def find(self, name: str) -> str | None:
        """Return the image of exactly that name, or else of a variant of it; None if there is no such image.

        Blanks around a name and backslashes may belong to it; mostly a spreadsheet or Windows put them there.

        Raises:
            ValueError: the name leads out of the folder.
        """
        if name in self._exact:
            return name
        bare = name.strip()
        for variant in dict.fromkeys((name, bare, bare.replace("\\", "/"))):
            if file := self._composed.get(_composed(self._relative(variant, name))):
                return file
        return None

    def find_or_none(self, name: str) -> str | None:
        """Return the same as ``find``, but None for a name that leads out of the folder."""
        try:
            return self.find(name)
        except ValueError:
            return None

    def _relative(self, path: str, name: str) -> str:
        """Return ``path`` relative to the folder, with ``/``, without ``.`` and ``..``; ``name`` is for the message."""
        if PurePosixPath(path).is_absolute():
            for base in (self._root.absolute(), self._root.resolve()):
                if PurePosixPath(path).is_relative_to(base.as_posix()):
                    path = PurePosixPath(path).relative_to(base.as_posix()).as_posix()
                    break
        parts: list[str] = []
        for part in PurePosixPath(path).parts:
            if part == "/" or part.endswith(":") or (part == ".." and not parts):
                raise ValueError(f"{name} is outside {self._root}")
            parts = parts[:-1] if part == ".." else [*parts, part]
        return "/".join(parts)


def _composed(name: str) -> str:
    """Return a name with its accents composed: some file systems and spreadsheets take them apart."""
    return unicodedata.normalize("NFC", name)
