"""Records as Parquet: for large folders, and for Hugging Face, whose reader changes no text in it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kmpl.errors import FileError
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.records import LabelRecord, assigned_label, record_of

_ROWS_PER_BATCH = 65_536
_TEXTS = ("label", "source", "note")
_NUMBERS = ("cluster", "round", "rank")


def write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write the columns of kmpl's CSV; what is not known is null."""
    write_table(records, path, file_column="file")


def write_table(
    records: Sequence[LabelRecord], path: Path, *, file_column: str, original: Sequence[str] | None = None
) -> None:
    """Write records with a column of files of that name.

    Args:
        records: the records.
        path: the file to write.
        file_column: name of the column of files.
        original: a further column: where each image lay before.
    """
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {file_column: pyarrow.array([record.file for record in records], pyarrow.string())}
    for name in _TEXTS:
        columns[name] = pyarrow.array([getattr(record, name) or None for record in records], pyarrow.string())
    columns["assigned"] = pyarrow.array([assigned_label(record) or None for record in records], pyarrow.string())
    columns["confidence"] = pyarrow.array([record.confidence for record in records], pyarrow.float64())
    for name in numbers_of(records):
        columns[name] = pyarrow.array([getattr(record, name) for record in records], pyarrow.int64())
    if original is not None:
        columns["original"] = pyarrow.array(list(original), pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def numbers_of(records: Sequence[LabelRecord]) -> list[str]:
    """Return the columns of numbers; there is one of ranks only where some record has one."""
    return [name for name in _NUMBERS if name != "rank" or any(record.rank is not None for record in records)]


def read(path: Path, file_columns: Sequence[str]) -> Iterator[FoundLabel]:
    """Yield an entry for each row.

    Raises:
        FileError: no Parquet, or no column of files and labels.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        names = table.schema_arrow.names
        file_column = next((name for name in file_columns if name in names), None)
        if file_column is None or "label" not in names:
            wanted = f"{' or '.join(file_columns)}, and label"
            raise FileError(f"{path}: the columns must be {wanted}; they are {', '.join(names)}", path)
        known = [file_column, *(n for n in (*_TEXTS, *_NUMBERS, "confidence", "assigned") if n in names)]
        class_names = _class_names(table.schema_arrow.metadata)
        number = 0
        for batch in table.iter_batches(_ROWS_PER_BATCH, columns=known):
            for row in batch.to_pylist():
                number += 1
                assigned = (row["assigned"] or "") if "assigned" in row else None
                if class_names and isinstance(row["label"], int):
                    row["label"] = _class_name(path, number, class_names, row["label"])
                record = record_of(row, str(row[file_column]))
                yield FoundLabel(where=f"row {number}", record=record, assigned=assigned)
    except (pyarrow.ArrowException, OSError) as error:
        raise FileError(f"{path}: is no Parquet that can be read: {str(error).splitlines()[0]}", path) from error


def _class_names(metadata: dict[bytes, bytes] | None) -> tuple[str, ...]:
    """Return the names of the class numbers in a file that Hugging Face's ``datasets`` wrote; empty without them."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return tuple(map(str, features["label"]["names"]))
    except (ValueError, KeyError, TypeError):
        return ()


def _class_name(path: Path, row: int, names: tuple[str, ...], number: int) -> str:
    """Return the name of a class number; −1 is ``datasets``' own mark of "no label".

    Raises:
        FileError: the file has no name for it.
    """
    if number == -1:
        return ""
    if not 0 <= number < len(names):
        raise FileError(f"{path} row {row}: has class {number}, and the file names 0 to {len(names) - 1}", path)
    return names[number]
