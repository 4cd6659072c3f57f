"""LightlyTrain's CSV (0.18): the columns ``image_path`` and ``label``; it passes over others, such as ``source``."""

import csv
from collections.abc import Sequence
from pathlib import Path

from kmpl.formats.records import ASSIGNED, LabelRecord

FILE = "image_path"


def write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write the labelled images; it knows no others. Paths are absolute, unless the file lies beside the images.

    Raises:
        ValueError: a class name that it would take apart.
    """
    for record in records:
        if "," in record.label or record.label != record.label.strip():
            problem = f"LightlyTrain reads '{record.label}' as several classes, or without its blanks"
            raise ValueError(f"{problem}; give the class another name, or write another format")
    base = "" if path.resolve().parent == root.resolve() else f"{root.resolve().as_posix()}/"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((FILE, "label", "source", "assigned"))
        for record in records:
            if record.label:
                assigned = record.label if record.source == ASSIGNED else ""
                writer.writerow((f"{base}{record.file}", record.label, record.source, assigned))
