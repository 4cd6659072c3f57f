"""Hugging Face's imagefolder: metadata as CSV, JSON lines or Parquet, and a folder that ``load_dataset`` loads (5.2).

A file called ``IMG_test.png``, or a folder ``test``, makes it load that alone, with metadata or without. So the folder
that is written has all images in ``train/``, and no folder below.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kmpl.errors import FileError
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.links import flat_names, link_all
from kmpl.formats.parquet_records import write_table
from kmpl.formats.records import LabelRecord, assigned_label, record_of

FILE = "file_name"
_LABEL = "label"
_ALL_FILES = "train"


def read_lines(path: Path) -> Iterator[FoundLabel]:
    """Yield an entry for each line of a ``metadata.jsonl``.

    Raises:
        FileError: a line that is no JSON object with a file name.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _found(path, number, line)
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text in UTF-8", path) from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error


def _found(path: Path, number: int, line: str) -> FoundLabel:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise FileError(f"{path} line {number}: is no JSON: {error}", path) from error
    if not isinstance(row, dict) or not isinstance(row.get(FILE), str):
        raise FileError(f"{path} line {number}: names no {FILE}", path)
    assigned = str(row["assigned"] or "") if "assigned" in row else None
    return FoundLabel(where=f"line {number}", record=record_of(row, row[FILE]), assigned=assigned)


def write_csv(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write a ``metadata.csv``; it lies in the folder of the images."""
    rows = [_row(record) for record in records]
    columns = (*_COLUMNS, _RANK) if any(_RANK in row for row in rows) else _COLUMNS
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_lines(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write a ``metadata.jsonl``; it lies in the folder of the images."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_row(record), ensure_ascii=False) + "\n")


def write_parquet(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write a ``metadata.parquet``; it lies in the folder of the images."""
    write_table(records, path, file_column=FILE)


def write_folder(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write a folder of all images, by hard links or copies, with a ``metadata.parquet`` that holds the labels."""
    names = flat_names([record.file for record in records])
    folder = path / _ALL_FILES
    link_all({root / file: folder / name for file, name in names.items()})
    moved = [replace(record, file=names[record.file]) for record in records]
    write_table(moved, folder / "metadata.parquet", file_column=FILE, original=[record.file for record in records])


_COLUMNS = (FILE, _LABEL, "confidence", "source", "cluster", "round", "assigned", "note")
_RANK = "rank"


def _row(record: LabelRecord) -> dict[str, Any]:
    values = (record.file, record.label or None, record.confidence, record.source, record.cluster, record.round)
    row = dict(zip(_COLUMNS, (*values, assigned_label(record), record.note), strict=True))
    return row if record.rank is None else row | {_RANK: record.rank}


_PART = re.compile(
    r"(?:^|[ ._\-0-9/])(train|training|test|testing|eval|evaluation|dev|val|valid|validation)(?:[ ._\-0-9/]|$)"
)
"""Names of files and folders that Hugging Face takes for a part of a data set (5.2)."""


def parts_doubt(records: Sequence[LabelRecord]) -> str:
    """Return a sentence on an image that Hugging Face would load alone, for its name; empty if there is none."""
    files = [record.file for record in records if _PART.search(record.file)]
    if not files:
        return ""
    return f"Hugging Face may load {files[0]} alone, for its name; --out-format huggingface-folder avoids that"


def csv_doubt(records: Sequence[LabelRecord]) -> str:
    """Return a sentence on class names that Hugging Face's reader of CSV changes; empty if it keeps all.

    Versions up to 5.2 read ``NA``, ``null`` and ``None`` as missing, and a column of numbers without leading zeros.
    """
    names = sorted({record.label for record in records if record.label})
    missing = [name for name in names if name in ("NA", "N/A", "null", "None", "nan", "NULL", "NaN")]
    if missing:
        return f"Hugging Face reads {', '.join(missing)} in a CSV as no label; write a .jsonl or .parquet"
    numbers = [name for name in names if name.isdecimal()]
    if names and len(numbers) == len(names) and any(name != str(int(name)) for name in names):
        return f"Hugging Face reads {numbers[0]} in a CSV as {int(numbers[0])}; write a .jsonl or .parquet"
    return ""
