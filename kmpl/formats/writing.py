"""Write records in a format: the name of the file tells which, and it is written whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kmpl.errors import FileError, look_up
from kmpl.formats import huggingface
from kmpl.formats.records import LabelRecord
from kmpl.formats.registry import FORMATS
from kmpl.runtime.files import describe, whole_file

_DEFAULT_SUFFIX = ".csv"


def name_for(path: Path, name: str | None = None) -> str:
    """Return the name of the format to write.

    Args:
        path: the file or folder to write.
        name: the name that a setting gives; None: the file's name decides.

    Raises:
        UserError: no such format, or the suffix is that of none.
    """
    if name is not None:
        look_up(FORMATS, name, "format")
        return name
    lower = path.name.lower()
    by_name = {file: form for form, details in FORMATS.items() for file in details.file_names}
    by_suffix = {suffix: form for form, details in FORMATS.items() for suffix in details.suffixes}
    found = by_name.get(lower) or by_suffix.get(path.suffix.lower() or _DEFAULT_SUFFIX)
    if found is None:
        known = ", ".join(by_suffix)
        raise FileError(f"--out {path}: its suffix is no format's; end it with {known}, or give --out-format", path)
    return found


def check_place(path: Path, root: Path, name: str) -> None:
    """Refuse, before any work, a place where the format could not be used.

    Args:
        path: the file or folder to write.
        root: the folder of the images.
        name: name of the format.

    Raises:
        UserError: a folder that exists, or a metadata file that does not lie beside the images.
    """
    form = FORMATS[name]
    if form.is_folder and path.exists():
        raise FileError(f"--out {path}: exists; name a new folder for {name}", path)
    if form.in_image_folder and path.resolve().parent != root.resolve():
        raise FileError(f"--out {path}: Hugging Face reads it beside the images; name {root / path.name}", path)


def check_suggestions(path: Path, name: str) -> None:
    """Refuse a format that could not hold images without a label, in an order, with a reason.

    Raises:
        FileError: it could not, or kmpl could not read the labels back.
    """
    form = FORMATS[name]
    if form.is_folder or form.read is None:
        problem = "is a folder, in which no label can be filled in"
    elif not form.keeps_unlabelled:
        problem = "knows no image without a label"
    elif not form.keeps >= {"rank", "cluster", "note", "confidence"}:
        problem = "has no place for order and reason beside an image without a label"
    else:
        return
    able = "a .csv, .parquet, .json (Label Studio) or metadata.jsonl (Hugging Face)"
    raise FileError(f"--out {path}: {name} {problem}; name {able}", path)


def remarks(records: Sequence[LabelRecord], path: Path, name: str) -> list[str]:
    """Return what a person should know of records in a format, a sentence each.

    Args:
        records: one for each image.
        path: the file or folder that was written.
        name: name of the format.
    """
    without = sum(not record.label for record in records)
    lines = []
    if without and not FORMATS[name].keeps_unlabelled:
        count = "1 image has" if without == 1 else f"{without:,} images have"
        lines.append(
            f"{path}: {count} no label and {'is' if without == 1 else 'are'} not in it: {name} knows none such"
        )
    if name == "huggingface":
        doubts = [huggingface.parts_doubt(records)]
        if path.suffix.lower() == ".csv":
            doubts.append(huggingface.csv_doubt(records))
        lines += [f"{path}: {doubt}" for doubt in doubts if doubt]
    return lines


def write(
    records: Sequence[LabelRecord],
    path: Path,
    root: Path,
    name: str,
    on_ready: Callable[[Path], None] = lambda draft: None,  # noqa: ARG005
) -> None:
    """Write records, whole or not at all.

    Args:
        records: one for each image.
        path: the file or folder to write.
        root: the folder of the images.
        name: name of the format.
        on_ready: called with the finished draft, before it takes its place.

    Raises:
        UserError: the file system refuses, or the format cannot hold the records.
    """
    form = FORMATS[name]
    try:
        with (whole_folder if form.is_folder else whole_file)(path) as draft:
            form.write(records, draft, root)
            on_ready(draft)
    except ValueError as error:
        raise FileError(f"{path}: {error}", path) from error


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success move it to ``path``, on any failure remove it.

    Args:
        path: where it goes.
        replace: remove the folder that is there, at the end.

    Raises:
        UserError: the file system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            draft = Path(folder) / path.name
            draft.mkdir()
            yield draft
            if replace:
                shutil.rmtree(path, ignore_errors=True)
            draft.rename(path)
    except OSError as error:
        raise FileError(describe(error, path), path) from error
