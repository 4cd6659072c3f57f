"""Labels that a person wrote into a file: they must not be lost when that file is written anew."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kmpl.errors import FileError, UserError
from kmpl.formats.csv_labels import open_labels
from kmpl.formats.given_labels import NO_RULES, NameReader, Rules
from kmpl.formats.label_columns import LabelColumns
from kmpl.formats.label_origins import LabelRow
from kmpl.formats.registry import read_labels, recognise


def labels_by_hand(path: Path) -> dict[str, str]:
    """Return file and label of each row that a person filled in; empty for a file that is no CSV of labels.

    It is read as a CSV of given labels is: spreadsheets write semicolons, too. Of a damaged file the rows above the
    damage count.
    """
    labels: dict[str, str] = {}
    with contextlib.suppress(FileError):
        table, file_name = open_labels(path)
        columns = LabelColumns(table, NameReader(NO_RULES))
        file_column = table.columns.index(file_name)
        for row in table.rows():
            file = row.cells[file_column] if file_column < len(row.cells) else ""
            read = LabelRow(f"line {row.line}", file, columns.read(row))
            if file and read.label.name and not read.assigned:
                labels[file] = read.label.name
    return labels


def _labels_of_people(path: Path, root: Path, files: Sequence[str]) -> dict[str, str]:
    """Return file and label of each image that a person labelled in a tool; empty for a file that cannot be read."""
    with contextlib.suppress(UserError):
        if recognise(path) != "csv":
            return read_labels(path, root, files, Rules(trust="given")).labels
    return {}


def check_overwrite(path: Path, flag: str, labels: Mapping[str, str], *, root: Path, files: Sequence[str]) -> None:
    """Refuse to write over labels that a person filled in and that are not among the given ones.

    Args:
        path: the file that would be written anew.
        flag: its flag of the command line, for the message.
        labels: given label of each labelled file.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.

    Raises:
        UserError: labels would be lost.
    """
    by_hand = labels_by_hand(path) or _labels_of_people(path, root, files)
    lost = [(file, label) for file, label in by_hand.items() if labels.get(file) != label]
    if lost:
        file, label = lost[0]
        count = f"{len(lost):,} labels" if len(lost) > 1 else "a label"
        problem = f"has {count} of yours that are not among the given labels (first: {file}, {label})"
        raise FileError(f"{flag} {path}: {problem}; give the file with --labels, or another name", path)
