"""Labels from a CSV: a line per image, columns ``file`` and ``label``, as spreadsheets and scripts write them."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kmpl.errors import FileError
from kmpl.formats.csv_rows import Row, Table, open_table
from kmpl.formats.given_labels import NO_RULES, Given, Names, Rules
from kmpl.formats.label_columns import LABEL, LabelColumns
from kmpl.formats.label_origins import Named, settle

FILE = "file"


def read_labels(path: Path, root: Path, files: Iterable[str], rules: Rules = NO_RULES) -> Given:
    """Return the label of each file that the CSV gives one; an empty label means that nobody has labelled it yet.

    Commas, semicolons, tabs or bars separate; a byte order mark, Windows line ends, quotes and further columns are all
    right. A CSV that ``kmpl label`` wrote can be given back once a person has worked on it (``settle`` says more).

    Args:
        path: the CSV.
        root: folder that its paths are relative to; absolute paths are all right if they lie in it.
        files: all images there are, relative to ``root``, with ``/``.
        rules: what was said of names and labels that may be meant one way or the other.

    Raises:
        UserError: no such file, no CSV in UTF-8, no such columns, a file that is outside the folder or not there, one
            that has two labels, or labels that are all kmpl's own.
    """
    table, names = open_table(path, (FILE, LABEL)), Names(rules)
    if table.columns.count(FILE) > 1:
        raise FileError(f"{path}: two columns are called file; leave one", path)
    columns = LabelColumns(table, names)
    rows, said = settle(path, _named(table, columns, root, files), columns.exported, rules)
    first: dict[str, Named] = {}
    for row in rows:
        if row.label.name and (before := first.setdefault(row.file, row)).label.name != row.label.name:
            raise FileError(
                f"{path} line {row.line}: {row.file} is '{row.label.name}' here and '{before.label.name}' in line "
                f"{before.line}; give each file one label",
                path,
            )
    labels = {file: row.label.name for file, row in first.items()}
    own = frozenset(file for file, row in first.items() if row.assigned)
    return replace(names.given(labels, "row", (*columns.notes, *said)), own=own)


def _named(table: Table, columns: LabelColumns, root: Path, files: Iterable[str]) -> Iterator[Named]:
    """Yield every row with the image that it names.

    Raises:
        UserError: a row that names no image of the folder, or takes in another by a quote that is not closed.
    """
    images = _Images(root, files)
    place, label = table.columns.index(FILE), table.columns.index(LABEL)
    missing: list[tuple[str, str]] = []
    for row in table.rows():
        where = f"{table.path} line {row.line}"
        if len(row.cells) <= max(place, label):
            few = f"has {len(row.cells)} of {len(table.columns)} columns"
            raise FileError(f"{where}: {few}; the first line has '{table.separator}' between them", table.path)
        name = row.cells[place]
        if not name.strip():
            raise FileError(f"{where}: names no file", table.path)
        _check_closed(row, table, place, images)
        try:
            file = images.find(name)
        except ValueError as error:
            raise FileError(f"{where}: {error}; give paths relative to {root}", table.path) from error
        if file is None:
            missing.append((where, name.strip()))
        else:
            yield Named(row.line, file, columns.read(row))
    if missing:
        (where, name), more = missing[0], len(missing) - 1
        others = f" (and {more} more)" if more else ""
        raise FileError(f"{where}: {root} has no image {name}{others}; give paths relative to {root}", table.path)


def _check_closed(row: Row, table: Table, place: int, images: "_Images") -> None:
    """Refuse a row one of whose quoted cells takes in the rows of other images, up to the next quote in the file.

    Raises:
        UserError: there is such a row.
    """
    for number, line in enumerate(row.following, start=row.line + 1):
        cells = next(csv.reader([line], delimiter=table.separator), [])
        if len(cells) > place and (file := images.known(cells[place])):
            taken = f"a quote that opens here takes in line {number}, which names {file}"
            raise FileError(f"{table.path} line {row.line}: {taken}; close it where its cell ends", table.path)


class _Images:
    """The images of a folder, by whatever a row calls them."""

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self._root, self._exact = root, set(files)
        self._composed = {_composed(file): file for file in sorted(self._exact)}

    def find(self, name: str) -> str | None:
        """Return the image that a name means: the one of exactly that name, else the one that it can be read as.

        Blanks around a name and backslashes may belong to it; mostly a spreadsheet or Windows put them there.

        Raises:
            ValueError: the name leads out of the folder.
        """
        if name in self._exact:
            return name
        bare = name.strip()
        for likely in dict.fromkeys((name, bare, bare.replace("\\", "/"))):
            if file := self._composed.get(_composed(self._inside(likely, name))):
                return file
        return None

    def known(self, name: str) -> str | None:
        """Return the same, or None for a name that leads out of the folder."""
        try:
            return self.find(name)
        except ValueError:
            return None

    def _inside(self, path: str, name: str) -> str:
        """Return a path relative to the folder, with ``/``, without ``.`` and ``..``."""
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
