"""Labels from a CSV of a spreadsheet, a script or a labelling tool: a row per image, columns of files and of labels."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.csv_rows import Row, Table, open_table
from kmpl.formats.given_labels import NO_RULES, GivenLabels, NameReader, Rules
from kmpl.formats.image_names import ImageNames
from kmpl.formats.label_columns import ANNOTATION, CHOICE, LABEL, LabelColumns
from kmpl.formats.label_origins import LabelRow
from kmpl.formats.label_rows import MissingImages, labels_of_rows

FILE = "file"
FILE_COLUMNS = (FILE, "file_name", "image_path", "image")
"""Names of the column of files: kmpl's, Hugging Face's, LightlyTrain's, Label Studio's."""
_LABEL_COLUMNS = (LABEL, CHOICE)
_LABEL_STUDIO_COLUMNS = (ANNOTATION, "annotator", "created_at", "id", "lead_time", "updated_at")  # in each export


def open_labels(path: Path, file_columns: Iterable[str] = FILE_COLUMNS) -> tuple[Table, str]:
    """Return a CSV of labels, and the name of its column of files.

    Args:
        path: the CSV.
        file_columns: the names that this column may have.

    Raises:
        UserError: no such file, no CSV in UTF-8, or no such columns.
    """
    errors: list[FileError] = []
    for file_column in file_columns:
        for label_column in _LABEL_COLUMNS:
            try:
                return open_table(path, (file_column, label_column)), file_column
            except FileError as error:
                errors.append(error)
    _check_annotated(path)
    raise errors[0]


def _check_annotated(path: Path) -> None:
    """Refuse an export of Label Studio without annotations, or with names of columns that are not known.

    Raises:
        UserError: it is one.
    """
    try:
        columns = open_table(path, (ANNOTATION, "lead_time")).columns
    except FileError:
        return
    names = [name for name in columns if name not in _LABEL_STUDIO_COLUMNS]
    if not names:
        raise FileError(f"{path}: Label Studio exported no image: nothing is annotated yet; annotate some first", path)
    wanted = " or ".join(_LABEL_COLUMNS if {*names} & {*FILE_COLUMNS} else FILE_COLUMNS)
    raise FileError(f"{path}: no column is called {wanted} (there are {', '.join(names)}); rename yours", path)


def read_labels(
    path: Path,
    root: Path,
    files: Iterable[str],
    rules: Rules = NO_RULES,
    file_columns: Iterable[str] = FILE_COLUMNS,
) -> GivenLabels:
    """Return the given labels in a CSV; an empty label means "not labelled yet".

    The separator may be a comma, semicolon, tab or bar; a byte order mark, Windows line ends, quotes and further
    columns are allowed. A CSV that ``kmpl label`` wrote is allowed, too, once a person has worked on it (see
    ``counted_rows``).

    Args:
        path: the CSV.
        root: the folder of the images; paths in the CSV are relative to it, or absolute paths of files in it.
        files: all images of the folder, relative to ``root``, with ``/``.
        rules: the user's decisions on ambiguous names and labels.
        file_columns: the names that the column of files may have.

    Raises:
        UserError: no such file, no CSV in UTF-8, no such columns, a file outside of the folder or absent, a file with
            two labels, or labels that kmpl assigned and nobody worked on.
    """
    table, file_column = open_labels(path, file_columns)
    names = NameReader(rules)
    if table.columns.count(file_column) > 1:
        raise FileError(f"{path}: two columns are called {file_column}; leave one", path)
    columns = LabelColumns(table, names)
    missing = MissingImages(path, root)
    rows = list(_label_rows(table, file_column, columns, ImageNames(root, files), missing))
    from_tool = columns.from_label_studio
    if not (from_tool and rows):
        missing.refuse()
    notes = (*columns.notes, *missing.notes)
    return labels_of_rows(path, rows, names=names, notes=notes, rules=rules, from_tool=from_tool)


def _label_rows(
    table: Table, file_name: str, columns: LabelColumns, images: ImageNames, missing: MissingImages
) -> Iterator[LabelRow]:
    """Yield every row with the image that it names.

    Raises:
        UserError: a row names no file, or an unclosed quote takes in the row of another image.
    """
    file_column = table.columns.index(file_name)
    last_column = max(file_column, columns.last)
    for row in table.rows():
        where = f"{table.path} line {row.line}"
        if len(row.cells) <= last_column:
            lack = f"has {len(row.cells)} of {len(table.columns)} columns"
            raise FileError(f"{where}: {lack}; the first line has '{table.separator}' between them", table.path)
        name = row.cells[file_column]
        if not name.strip():
            raise FileError(f"{where}: names no file", table.path)
        _check_quotes(row, table, file_column, images)
        try:
            file = images.find(name)
        except ValueError as error:
            if not columns.from_label_studio:
                raise FileError(f"{where}: {error}", table.path) from error
            file = None
            name = str(error)
        if file is None:
            missing.entries.append((f"line {row.line}", name.strip()))
        else:
            yield LabelRow(f"line {row.line}", file, columns.read(row))


def _check_quotes(row: Row, table: Table, file_column: int, images: ImageNames) -> None:
    """Refuse a row with an unclosed quote: its cell takes in the rows of other images, up to the next quote.

    Raises:
        UserError: a further line of the row names an image.
    """
    for number, line in enumerate(row.following, start=row.line + 1):
        cells = next(csv.reader([line], delimiter=table.separator), [])
        if len(cells) > file_column and (file := images.find_or_none(cells[file_column])):
            problem = f"a quote that opens here takes in line {number}, which names {file}"
            raise FileError(f"{table.path} line {row.line}: {problem}; close it where its cell ends", table.path)
