"""Pull: annotations of people become the given labels of the folder's images."""

import csv
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from kmpl.errors import FileError, UserError
from kmpl.formats.csv_labels import FILE, open_labels
from kmpl.formats.given_labels import GivenLabels, Rules
from kmpl.formats.hand_labels import check_overwrite, labels_by_hand
from kmpl.formats.label_columns import LABEL, SOURCE
from kmpl.formats.records import GIVEN
from kmpl.formats.registry import read_labels
from kmpl.label_studio.projects import Project
from kmpl.runtime.files import whole_file

PULLED = "pulled"
"""Column that repeats each label: a label that differs from it was changed by hand since."""


def annotations(project: Project, root: Path, files: Sequence[str], class_named: tuple[str, ...] = ()) -> GivenLabels:
    """Return the labels that people have given in a project; none where annotators differ.

    Args:
        project: the project.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.
        class_named: names that are classes, although they usually mean "no label".

    Raises:
        UserError: no annotation is about an image of the folder, or annotations are no choices of one class.
    """
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export.json"
        project.server.download(f"{project.path}/export", export, exportType="JSON")
        try:
            return read_labels(export, root, files, Rules(class_named, "given", "label-studio"))
        except UserError as error:  # the file is gone when a person reads this
            raise UserError(str(error).replace(str(export), f"{project.page}")) from error


def check_annotated(project: Project, found: GivenLabels) -> None:
    """Refuse annotations that give no label.

    Raises:
        UserError: in one line.
    """
    if not found.labels:
        what = "no annotation gives a label" if found.notes else "nothing is annotated yet"
        raise UserError(f"{project.page}: {what}; annotate some images there, and pull again")


def check_out(
    out: Path, labels: Mapping[str, str], before: Mapping[str, str], *, root: Path, files: Sequence[str]
) -> None:
    """Refuse to write over labels that a person filled in by hand and that are not among the pulled ones.

    Args:
        out: CSV that would be written anew.
        labels: pulled label of each image.
        before: what an earlier pull has written: where nobody changed it by hand, it may change.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.

    Raises:
        UserError: labels would be lost.
    """
    by_hand = labels_by_hand(out)
    untouched = {file: label for file, label in before.items() if by_hand.get(file) == label}
    check_overwrite(out, "--out", {**labels, **untouched}, root=root, files=files)


def pulled_before(path: Path) -> dict[str, str]:
    """Return file and label of each row as an earlier pull wrote it; empty for a file that is from no pull."""
    try:
        table, file_name = open_labels(path)
        if PULLED not in table.columns:
            return {}
        file_column, column = table.columns.index(file_name), table.columns.index(PULLED)
        rows = [row.cells for row in table.rows() if len(row.cells) > max(file_column, column)]
    except FileError:
        return {}
    return {cells[file_column]: cells[column] for cells in rows}


def write(labels: Mapping[str, str], out: Path) -> None:
    """Write labels as a CSV of given labels, sorted by image; whole or not at all.

    Raises:
        UserError: the file system refuses.
    """
    with whole_file(out) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((FILE, LABEL, SOURCE, PULLED))
        writer.writerows((name, label, GIVEN, label) for name, label in sorted(labels.items()))
