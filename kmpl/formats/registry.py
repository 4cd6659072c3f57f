"""The formats of labels, and how a file of any of them is read: its content tells which it is.

A new format is a module with ``read`` and ``write``, and an entry in ``FORMATS``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from kmpl.errors import FileError, look_up
from kmpl.formats import class_folders, csv_labels, fiftyone, huggingface, kmpl_csv, label_studio, lightly
from kmpl.formats import parquet_records as parquet
from kmpl.formats.given_labels import NO_RULES, GivenLabels, Rules
from kmpl.formats.label_rows import FoundLabel, labels_of_found
from kmpl.formats.records import LabelRecord

Write = Callable[[Sequence[LabelRecord], Path, Path], None]
"""Writes records to a path; the last argument is the folder of the images. Raises ValueError if it cannot hold them."""
Read = Callable[[Path], Iterator[FoundLabel]]

ALL_FIELDS = frozenset(field.name for field in fields(LabelRecord))


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of labels."""

    write: Write
    read: Read | None = None
    """Yields the entries of a file; None: kmpl does not read it as labels."""
    keeps: frozenset[str] = ALL_FIELDS
    """Fields of a record that it keeps."""
    keeps_unlabelled: bool = True
    """It holds images without a label, too."""
    csv_columns: tuple[str, ...] = ()
    """Names that the column of files may have, where the format is a CSV."""
    is_folder: bool = False
    """It is a folder of images, not a file."""
    file_names: tuple[str, ...] = ()
    """Names of files that are written in this format where none is given."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of such files."""
    from_tool: bool = False
    """People annotate in a tool, which knows annotations apart from predictions."""
    in_image_folder: bool = False
    """It is read only beside the images."""


_BASIC = frozenset({"file", "label"})
_METADATA = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))


def _write_huggingface(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write the metadata that the path's suffix names; a draft's name ends with it, too."""
    writers = {".jsonl": huggingface.write_lines, ".parquet": huggingface.write_parquet}
    writers.get(path.suffix, huggingface.write_csv)(records, path, root)


def _read_huggingface(path: Path) -> Iterator[FoundLabel]:
    if _is_parquet(path):
        return parquet.read(path, (huggingface.FILE,))
    return huggingface.read_lines(path)


FORMATS: Mapping[str, Format] = {
    "csv": Format(
        write=kmpl_csv.write,
        read=kmpl_csv.read,
        csv_columns=csv_labels.FILE_COLUMNS,
        suffixes=(".csv", ".tsv", ".txt"),
    ),
    "parquet": Format(
        write=parquet.write,
        read=partial(parquet.read, file_columns=csv_labels.FILE_COLUMNS),
        suffixes=(".parquet",),
    ),
    "label-studio": Format(
        write=label_studio.write,
        read=label_studio.read,
        suffixes=(".json",),
        from_tool=True,
    ),
    "huggingface": Format(
        write=_write_huggingface,
        read=_read_huggingface,
        csv_columns=(huggingface.FILE,),
        file_names=_METADATA,
        suffixes=(".jsonl",),
        in_image_folder=True,
    ),
    "huggingface-folder": Format(
        write=huggingface.write_folder,
        is_folder=True,
    ),
    "fiftyone": Format(
        write=fiftyone.write,
        read=fiftyone.read,
        keeps=_BASIC | {"confidence", "source"},
        file_names=("labels.json",),
    ),
    "fiftyone-folder": Format(
        write=class_folders.write_fiftyone,
        keeps=_BASIC,
        is_folder=True,
    ),
    "imagefolder": Format(
        write=class_folders.write_torchvision,
        keeps=_BASIC,
        keeps_unlabelled=False,
        is_folder=True,
    ),
    "lightly": Format(
        write=lightly.write,
        read=kmpl_csv.read,
        keeps=_BASIC | {"source"},
        keeps_unlabelled=False,
        csv_columns=(lightly.FILE,),
    ),
}
"""All formats, by the name that a setting gives."""


def read_labels(path: Path, root: Path, files: Iterable[str], rules: Rules = NO_RULES) -> GivenLabels:
    """Return the given labels in a file of any format.

    Args:
        path: the file.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.
        rules: the user's decisions on the format, and on ambiguous names and labels.

    Raises:
        UserError: a damaged file, one of another format, or labels that do not fit the folder.
    """
    form = look_up(FORMATS, rules.format or recognise(path), "format")
    if form.read is None:
        raise FileError(f"--format {rules.format}: is a folder; name it as the folder of images", path)
    if form.csv_columns and not _is_json(path) and not _is_parquet(path):
        return csv_labels.read_labels(path, root, files, rules, form.csv_columns)
    return labels_of_found(path, form.read(path), root=root, files=files, rules=rules, from_tool=form.from_tool)


def recognise(path: Path) -> str:
    """Return the name of a file's format, by its content.

    Raises:
        FileError: it cannot be read.
    """
    if _is_parquet(path):
        return "parquet"
    head = _head(path)
    if head.startswith(b"["):
        return "label-studio"
    if not head.startswith(b"{"):
        return "csv"
    try:
        first = json.loads(head.splitlines()[0])
    except ValueError:
        return "fiftyone"
    return "huggingface" if isinstance(first, dict) and huggingface.FILE in first else "fiftyone"


_HEAD_BYTES = 65_536


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, without blanks before them."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error


def _is_parquet(path: Path) -> bool:
    return _head(path).startswith(b"PAR1")


def _is_json(path: Path) -> bool:
    return _head(path)[:1] in (b"[", b"{")
