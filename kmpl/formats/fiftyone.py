"""FiftyOne: its ``labels.json`` (classes, and labels by file name without suffix) of version 1.22."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import ijson

from kmpl.errors import FileError
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.records import LabelRecord, assigned_label, class_names


def read(path: Path) -> Iterator[FoundLabel]:
    """Yield an entry for each label; the file is streamed, once for each of its parts.

    Raises:
        FileError: no JSON of this form, or a number of a class that there is not.
    """
    try:
        with path.open("rb") as file:
            if not any((prefix, event) == ("labels", "start_map") for prefix, event, _ in ijson.parse(file)):
                known = "a list of tasks (Label Studio), classes and labels (FiftyOne), or lines with file_name"
                raise FileError(f"{path}: is JSON of no format that is known: {known}", path)
        with path.open("rb") as file:
            classes = next(ijson.items(file, "classes"), None) or []
        with path.open("rb") as file:
            for name, value in ijson.kvitems(file, "labels", use_float=True):
                record = _record(path, name, value, classes)
                details = (value.get("attributes") or {}) if isinstance(value, dict) else {}
                assigned = str(details["assigned"]) if "assigned" in details else None
                yield FoundLabel(where=f"label {name}", record=record, is_stem=True, assigned=assigned)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: is no JSON of FiftyOne: {str(error).splitlines()[0]}", path) from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error


def _record(path: Path, name: str, value: Any, classes: Sequence[str]) -> LabelRecord:
    """Return a label, which may be a name, a number of a class, null, or an object of label and confidence."""
    confidence = None
    source = ""
    if isinstance(value, dict):
        confidence = value.get("confidence")
        source = (value.get("attributes") or {}).get("source") or ""
        value = value.get("label")
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(classes):
            raise FileError(f"{path} label {name}: there is no class {value} among {len(classes)}", path)
        value = classes[value]
    if not isinstance(value, str | None):
        raise FileError(f"{path} label {name}: is no class but {str(value)[:40]}; give one class an image", path)
    return LabelRecord(file=name, label=value or "", confidence=confidence, source=source)


def write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:  # noqa: ARG001  (as all writers)
    """Write all labels by path without suffix; images without a label are null.

    Raises:
        ValueError: two images differ in their suffix alone: FiftyOne would lose one.
    """
    labels: dict[str, Any] = {}
    first: dict[str, str] = {}
    for record in records:
        name = str(PurePosixPath(record.file).with_suffix(""))
        if (other := first.setdefault(name, record.file)) != record.file:
            raise ValueError(f"FiftyOne calls {other} and {record.file} both {name}; rename one of them")
        confidence = {} if record.confidence is None else {"confidence": record.confidence}
        details = {"source": record.source, "assigned": assigned_label(record)}
        source = {"attributes": details} if record.source else {}
        labels[name] = {"label": record.label, **confidence, **source} if record.label else None
    with path.open("w", encoding="utf-8") as file:
        json.dump({"classes": list(class_names(records)), "labels": labels}, file, ensure_ascii=False, indent=1)
        file.write("\n")
