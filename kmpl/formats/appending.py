"""Add rows to a file of labels that is there: what stands in it stays, byte for byte where the format allows that.

The format's own writer writes the new rows; here they are joined to the file. Rows that are named are taken out.
"""

import csv
import io
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from kmpl.errors import FileError
from kmpl.formats import huggingface
from kmpl.formats.csv_labels import open_labels
from kmpl.formats.csv_rows import Table
from kmpl.formats.label_columns import SOURCE
from kmpl.formats.records import LabelRecord
from kmpl.formats.registry import FORMATS, recognise
from kmpl.runtime.files import whole_file

_FILES = ("file", huggingface.FILE, "image_path", "image")
_ALSO_LABEL = "choice"


def can_append(name: str) -> bool:
    """Say whether rows can be added to what a format writes: a file that kmpl reads, not a folder of images."""
    return FORMATS[name].read is not None


def append(records: Sequence[LabelRecord], path: Path, root: Path, name: str, *, instead_of: Collection[str]) -> None:
    """Add records to a file of labels, whole or not at all.

    Args:
        records: to add, in their order.
        path: the file, in a format of ``can_append``.
        root: the folder of the images.
        name: name of the format.
        instead_of: names of images, as they stand in the file, whose rows are taken out.

    Raises:
        UserError: the file cannot be read, lacks the column ``source``, or cannot be written.
    """
    with whole_file(path) as draft:
        try:
            FORMATS[name].write(records, draft, root)
            content = _joined(path, draft, set(instead_of))
        except ValueError as error:
            raise FileError(f"{path}: {error}", path) from error
        if content is not None:
            draft.write_bytes(content)


def _joined(path: Path, new: Path, without: set[str]) -> bytes | None:
    """Return the content of both files as one, by the form that the old one has; None: it was written to ``new``."""
    form = recognise(path)
    if form != recognise(new):
        raise FileError(f"{path}: is no longer of the form that kmpl wrote; name a new file with --out", path)
    if form == "parquet":
        _join_parquet(path, new, without)
        return None
    if form == "label-studio":
        return _join_list(path, new, without)
    if form == "huggingface":
        return _join_lines(path, new, without)
    return _join_object(path, new) if form == "fiftyone" else _join_csv(path, new, without)


def _join_csv(path: Path, new: Path, without: set[str]) -> bytes:
    """Join CSVs: the new rows take the columns, the separator and the line ends of the old one."""
    table, file_column = open_labels(path)
    if SOURCE not in table.columns:
        raise FileError(
            f"{path}: has no column source, so labels of kmpl could not be told from yours; put it back, or name a "
            "new file with --out",
            path,
        )
    lines = io.StringIO(path.read_bytes().decode("utf-8"), newline="").readlines()
    gone: set[int] = set()
    place = table.columns.index(file_column)
    for row in table.rows():
        if len(row.cells) > place and row.cells[place] in without:
            gone |= set(range(row.line - 1, row.line + len(row.following)))
    kept = [line for number, line in enumerate(lines) if number not in gone]
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if not kept[-1].endswith(("\n", "\r")):
        kept[-1] += end
    out = io.StringIO()
    csv.writer(out, delimiter=table.separator, lineterminator=end).writerows(_cells(table, file_column, new))
    return ("".join(kept) + out.getvalue()).encode()


def _cells(table: Table, file_column: str, new: Path) -> Iterator[list[str]]:
    """Yield the rows of a new CSV in the order of the columns of an old one."""
    written, written_column = open_labels(new)
    for row in written.rows():
        values = dict(zip(written.columns, row.cells, strict=False))
        values[file_column] = values[written_column]
        values.setdefault(_ALSO_LABEL, "")
        if "label" not in table.columns:
            values[_ALSO_LABEL] = values["label"]
        yield [values.get(name, "") for name in table.columns]


def _join_lines(path: Path, new: Path, without: set[str]) -> bytes:
    """Join JSON lines."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not (line.strip() and json.loads(line).get(huggingface.FILE) in without)]
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join(kept).encode() + new.read_bytes()


def _join_list(path: Path, new: Path, without: set[str]) -> bytes:
    """Join lists of tasks of Label Studio; tasks that stay are not touched where none is taken out."""
    tasks = json.loads(new.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8-sig")
    kept = json.loads(text)
    staying = [task for task in kept if _task_file(task) not in without]
    added = ",\n".join(json.dumps(task, ensure_ascii=False) for task in tasks)
    if len(staying) == len(kept):
        begin = text.rstrip().removesuffix("]").rstrip()
        return (begin + (",\n" if kept and added else "\n") + added + "\n]\n").encode()
    lines = [json.dumps(task, ensure_ascii=False) for task in staying]
    return ("[\n" + ",\n".join([*lines, *([added] if added else [])]) + "\n]\n").encode()


def _task_file(task: Any) -> str:
    data = task.get("data", task) if isinstance(task, dict) else {}
    return str(data.get("file", data.get("image", ""))) if isinstance(data, dict) else ""


def _join_object(path: Path, new: Path) -> bytes:
    """Join FiftyOne's labels: an image has one entry, and numbers of classes stay what they are."""
    old = json.loads(path.read_text(encoding="utf-8-sig"))
    more = json.loads(new.read_text(encoding="utf-8"))
    classes = list(old.get("classes") or [])
    old["classes"] = [*classes, *(name for name in more["classes"] if name not in classes)]
    old["labels"] = {**old.get("labels", {}), **more["labels"]}
    return (json.dumps(old, ensure_ascii=False, indent=1) + "\n").encode()


def _join_parquet(path: Path, new: Path, without: set[str]) -> None:
    """Join tables; columns that only one of them has are null in the other."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    try:
        old = pyarrow.parquet.read_table(path)
        more = pyarrow.parquet.read_table(new)
        column = next(name for name in _FILES if name in old.column_names)
        stays = pyarrow.compute.invert(pyarrow.compute.is_in(old[column], pyarrow.array(sorted(without), "string")))
        theirs = next(name for name in _FILES if name in more.column_names)
        more = more.rename_columns([column if name == theirs else name for name in more.column_names])
        joined = pyarrow.concat_tables([old.filter(stays), more], promote_options="permissive")
        pyarrow.parquet.write_table(joined, new)
    except pyarrow.ArrowException as error:
        raise FileError(f"{path}: rows cannot be added: {str(error).splitlines()[0]}", path) from error
