"""kmpl's own CSV of labels: a row per image, with what was assigned beside what a person may correct."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from kmpl.formats.csv_labels import open_labels
from kmpl.formats.csv_rows import Row, Table
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.records import LabelRecord, assigned_label

HEADER = ("file", "label", "confidence", "cluster", "round", "source", "assigned", "note")
_RANK = "rank"


def text(records: Sequence[LabelRecord]) -> str:
    """Return records as CSV.

    The column ``assigned`` repeats each label of an image that nobody looked at. A person who corrects labels leaves
    that column alone, so a later reading can tell the person's labels from the others.
    """
    out = io.StringIO()
    ranked = any(record.rank is not None for record in records)
    write_rows(records, out, with_header=True, ranked=ranked)
    return out.getvalue()


def write_rows(records: Iterable[LabelRecord], out: TextIO, *, with_header: bool, ranked: bool = False) -> None:
    """Write records to an open file, a row each; ``ranked`` adds a column of their ranks."""
    writer = csv.writer(out, lineterminator="\n")
    if with_header:
        writer.writerow((*HEADER, _RANK) if ranked else HEADER)
    writer.writerows((*_row(record), _text(record.rank)) if ranked else _row(record) for record in records)


def _row(record: LabelRecord) -> tuple[str, ...]:
    return (
        record.file,
        record.label,
        "" if record.confidence is None else f"{record.confidence:.4f}",
        _text(record.cluster),
        _text(record.round),
        record.source,
        assigned_label(record),
        record.note,
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write a CSV of all records."""
    path.write_text(text(records), encoding="utf-8", newline="")


def read(path: Path) -> Iterator[FoundLabel]:
    """Yield an entry for each row, as it stands; ``csv_labels.read_labels`` tells which of them count as given.

    Raises:
        FileError: no CSV of labels.
    """
    table, file_column = open_labels(path)
    for row in table.rows():
        yield FoundLabel(where=f"line {row.line}", record=_record(table, row, file_column))


def _record(table: Table, row: Row, file_column: str) -> LabelRecord:
    cells = dict(zip(table.columns, row.cells, strict=False))
    rank = cells.get(_RANK, "")
    return LabelRecord(
        file=cells[file_column],
        label=cells.get("label", ""),
        confidence=float(cells["confidence"]) if cells.get("confidence") else None,
        source=cells.get("source", ""),
        cluster=int(cells["cluster"]) if cells.get("cluster") else None,
        round=int(cells["round"]) if cells.get("round") else None,
        note=cells.get("note", "") or cells.get("reason", ""),
        rank=int(rank) if rank.isdecimal() else None,
    )
