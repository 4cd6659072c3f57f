"""Labels that a person wrote into a CSV: they must not be lost when that file is written anew."""

import csv
from collections.abc import Mapping
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.class_names import normalise


def labels_by_hand(path: Path) -> dict[str, str]:
    """Return file and label of each row that a person filled in; empty for a file that is no CSV of labels.

    A label that kmpl assigned stands in the column ``assigned``, too; where both differ, a person has been there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(text.splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    labels = {row.get("file") or "": row.get("label") or "" for row in rows if row.get("label") != row.get("assigned")}
    return {file: normalise(label) for file, label in labels.items() if file and label.strip()}


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
