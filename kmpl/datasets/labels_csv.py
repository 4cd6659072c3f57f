"""Labels from a CSV: a line per image, columns ``file`` and ``label``, as spreadsheets and scripts write them."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kmpl.errors import UserError

COLUMNS = ("file", "label")
SOURCE, ASSIGNED = "source", "assigned"
"""Column and value by which ``kmpl label`` marks labels that it assigned: read back, they are none."""
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class _Row:
    """One line that gives a label."""

    line: int
    file: str
    label: str


def read_labels(path: Path, root: Path, files: Iterable[str]) -> dict[str, str]:
    """Return the label of each file that the CSV gives one; an empty label means that nobody has labelled it yet.

    Commas, semicolons or tabs separate; a byte order mark, Windows line ends, quotes and further columns are all right.
    What ``kmpl label`` assigned is no given label: a CSV that it wrote can be given back.

    Args:
        path: the CSV.
        root: folder that its paths are relative to; absolute paths are all right if they lie in it.
        files: all images there are, relative to ``root``, with ``/``.

    Raises:
        UserError: no such file, no CSV in UTF-8, no such columns, a file that is outside the folder or not there, or
            one that has two labels.
    """
    exact = set(files)
    composed = {_composed(file): file for file in sorted(exact)}
    labels: dict[str, _Row] = {}
    missing: list[_Row] = []
    for row in _rows(path, _text(path)):
        file = _match(row, exact, composed, path, root)
        if file is None:
            missing.append(row)
        elif row.label:
            first = labels.setdefault(file, row)
            if first.label != row.label:
                raise UserError(
                    f"{path} line {row.line}: {file} is '{row.label}' here and '{first.label}' in line {first.line}; "
                    "give each file one label"
                )
    if missing:
        row, name = missing[0], missing[0].file.strip()
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(f"{path} line {row.line}: {root} has no image {name}{more}; give paths relative to {root}")
    return {file: row.label for file, row in labels.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: save it as 'CSV UTF-8'") from error


def _rows(path: Path, text: str) -> Iterator[_Row]:
    """Yield every line that names a file."""
    head = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if not set(COLUMNS) <= set(names):
            raise UserError(f"{path}: the first line must name the columns file and label; it is '{head.strip()[:80]}'")
        where = [names.index(name) for name in COLUMNS]
        source = names.index(SOURCE) if SOURCE in names else len(names)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(where):
                raise UserError(f"{path} line {reader.line_num}: has {len(cells)} of {len(names)} columns")
            file, label = cells[where[0]], " ".join(cells[where[1]].split())
            if source < len(cells) and cells[source].strip() == ASSIGNED:
                label = ""  # what the method said is no label that a person gave
            if not file.strip():
                raise UserError(f"{path} line {reader.line_num}: names no file")
            yield _Row(reader.line_num, file, _composed(label))
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}: no CSV: {error}") from error


def _match(row: _Row, exact: Set[str], composed: Mapping[str, str], path: Path, root: Path) -> str | None:
    """Return the image that a row means: the one of exactly that name, else the one that it can be read as.

    Blanks around a name and backslashes may belong to it; mostly a spreadsheet or Windows put them there.

    Raises:
        UserError: the row leads out of the folder.
    """
    if row.file in exact:
        return row.file
    bare = row.file.strip()
    for name in dict.fromkeys((row.file, bare, bare.replace("\\", "/"))):
        if file := composed.get(_composed(_inside(name, row, path, root))):
            return file
    return None


def _inside(name: str, row: _Row, path: Path, root: Path) -> str:
    """Return a path relative to ``root``, with ``/``, without ``.`` and ``..``.

    Raises:
        UserError: it leads out of the folder.
    """
    if PurePosixPath(name).is_absolute():
        for base in (root.absolute(), root.resolve()):
            if PurePosixPath(name).is_relative_to(base.as_posix()):
                name = PurePosixPath(name).relative_to(base.as_posix()).as_posix()
                break
    parts: list[str] = []
    for part in PurePosixPath(name).parts:
        outside = part == "/" or part.endswith(":") or (part == ".." and not parts)
        if outside:
            raise UserError(f"{path} line {row.line}: {row.file} is outside {root}; give paths relative to {root}")
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _composed(name: str) -> str:
    """Return a name with its accents composed: some file systems and spreadsheets take them apart."""
    return unicodedata.normalize("NFC", name)
