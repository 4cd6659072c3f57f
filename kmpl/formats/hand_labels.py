"""Labels that a person wrote into a CSV: they must not be lost when that file is written anew."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.csv_labels import FILE
from kmpl.formats.csv_rows import open_table
from kmpl.formats.given_labels import NO_RULES, NameReader
from kmpl.formats.label_columns import LABEL, LabelColumns
from kmpl.formats.label_origins import LabelRow


def labels_by_hand(path: Path) -> dict[str, str]:
    """Return file and label of each row that a person filled in; empty for a file that is no CSV of labels.

    It is read as a CSV of given labels is: spreadsheets write semicolons, too. Of a damaged file the rows above the
    damage count.
    """
    labels: dict[str, str] = {}
    with contextlib.suppress(FileError):
        table = open_table(path, (FILE, LABEL))
        columns = LabelColumns(table, NameReader(NO_RULES))
        file_column = table.columns.index(FILE)
        for row in table.rows():
            file = row.cells[file_column] if file_column < len(row.cells) else ""
            read = LabelRow(row.line, file, columns.read(row))
            if file and read.label.name and not read.assigned:
                labels[file] = read.label.name
    return labels


def check_overwrite(path: Path, flag: str, labels: Mapping[str, str]) -> None:
    """Refuse to write over labels that a person filled in and that are not among the given ones.

    Args:
        path: the file that would be written anew.
        flag: its flag of the command line, for the message.
        labels: given label of each labelled file.

    Raises:
        UserError: labels would be lost.
    """
    lost = [(file, label) for file, label in labels_by_hand(path).items() if labels.get(file) != label]
    if lost:
        file, label = lost[0]
        count = f"{len(lost):,} labels" if len(lost) > 1 else "a label"
        problem = f"has {count} of yours that are not among the given labels (first: {file}, {label})"
        raise FileError(f"{flag} {path}: {problem}; give the file with --labels, or another name", path)
