"""Label Studio: read what it exports as JSON and JSON_MIN, write tasks that it imports (version 1.23).

An image is found by ``data.file``, which kmpl writes, or else by its address. Each annotation is an entry; cancelled
ones are none. Predictions of kmpl are labels of kmpl's own. Its CSV and TSV are read as every CSV is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import ijson

from kmpl.errors import FileError
from kmpl.formats.label_rows import FoundLabel
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord, class_names, record_of

CHOICE = "choice"
"""Name of the choices in the labelling interface that kmpl writes for; no key of a task's data is called so."""
IMAGE = "image"
_FILE = "file"
_MODEL_VERSION = "kmpl"
_IMAGE_KEYS = (_FILE, IMAGE)
_SUFFIX_OF_ADDRESS = ("/data/", "http://", "https://", "s3://", "gs://")


def read(path: Path) -> Iterator[FoundLabel]:
    """Yield an entry for each annotation, or for the prediction of a task without any; the file is streamed.

    Raises:
        FileError: no JSON of a list of tasks, a task without image, or annotations that are no choices.
    """
    try:
        with path.open("rb") as file:
            for number, task in enumerate(ijson.items(file, "item", use_float=True), start=1):
                if not isinstance(task, dict):
                    raise FileError(f"{path} task {number}: is no task of Label Studio, but {str(task)[:40]}", path)
                yield from (_of_task if "data" in task else _of_short_task)(path, f"task {number}", task)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: is no JSON of Label Studio: {str(error).splitlines()[0]}", path) from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}", path) from error


def _of_task(path: Path, where: str, task: Mapping[str, Any]) -> Iterator[FoundLabel]:
    """Yield the entries of a task of a JSON export."""
    data = task["data"] if isinstance(task["data"], dict) else {}
    name = _image_name(path, where, data)
    known = record_of(data, name)
    annotations = [a for a in task.get("annotations") or () if not a.get("was_cancelled")]
    for annotation in annotations:
        label = _choice(path, where, annotation.get("result") or ())
        record = replace(known, label=label, source=GIVEN if label else "")
        yield FoundLabel(where=where, record=record, is_annotation=True)
    if annotations:
        return
    predictions = [p for p in task.get("predictions") or () if isinstance(p, dict)]
    prediction = max(predictions, key=lambda p: str(p.get("created_at", "")), default={})
    label = _choice(path, where, prediction.get("result") or ())
    score = prediction.get("score")
    source = (CLUSTER if known.source == CLUSTER else ASSIGNED) if label else ""
    confidence = float(score) if isinstance(score, int | float) else known.confidence
    yield FoundLabel(where=where, record=replace(known, label=label, source=source, confidence=confidence))


def _of_short_task(path: Path, where: str, task: Mapping[str, Any]) -> Iterator[FoundLabel]:
    """Yield the entry of a row of JSON_MIN, in which data and choices lie side by side."""
    name = _image_name(path, where, task)
    text = next((task[key] for key in (CHOICE, "label") if task.get(key)), "")
    choices = text.get("choices") if isinstance(text, dict) else [text] if text else []
    label = _one(path, where, choices or [])
    yield FoundLabel(where=where, record=LabelRecord(file=name, label=label, source=GIVEN), is_annotation=bool(label))


def _image_name(path: Path, where: str, data: Mapping[str, Any]) -> str:
    """Return the path or the address of a task's image."""
    for key in _IMAGE_KEYS:
        if isinstance(data.get(key), str) and data[key]:
            return str(data[key])
    addresses = [v for v in data.values() if isinstance(v, str) and v.startswith(_SUFFIX_OF_ADDRESS)]
    if len(addresses) == 1:
        return addresses[0]
    keys = ", ".join(map(str, data)) or "nothing"
    raise FileError(f"{path} {where}: names no image (its data has {keys}); call the key of the images 'image'", path)


def _choice(path: Path, where: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the class that the results of an annotation or a prediction choose; empty if they choose none."""
    kinds = {str(result.get("type", "")) for result in results} - {"choices"}
    if kinds:
        problem = f"has annotations of the kind {', '.join(sorted(kinds))}"
        raise FileError(f"{path} {where}: {problem}; only choices, one class an image, are read", path)
    chosen = [choice for result in results for choice in (result.get("value") or {}).get("choices") or ()]
    return _one(path, where, chosen)


def _one(path: Path, where: str, choices: Sequence[Any]) -> str:
    if len(choices) > 1:
        raise FileError(f"{path} {where}: gives several classes, {', '.join(map(str, choices))}; give one", path)
    return str(choices[0]) if choices else ""


def write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write tasks for Label Studio: given labels as annotations, all others as predictions with a score.

    The images have addresses of its local storage, whose root is the folder above the images.
    """
    with path.open("w", encoding="utf-8") as file:
        _write_list(file, (task(record, root.resolve().name) for record in records))


def _write_list(file: TextIO, tasks: Iterator[dict[str, Any]]) -> None:
    """Write a JSON list with an item a line."""
    between = "[\n"
    for item in tasks:
        file.write(between + json.dumps(item, ensure_ascii=False))
        between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def task(record: LabelRecord, folder: str) -> dict[str, Any]:
    """Return a record as a task.

    Args:
        record: the record.
        folder: name of the folder of the images, below the root of the local storage.
    """
    details = {
        "rank": record.rank,
        "confidence": record.confidence,
        "cluster": record.cluster,
        "round": record.round,
        "source": record.source,
        "note": record.note,
    }
    data: dict[str, Any] = {_FILE: record.file, IMAGE: f"/data/local-files/?d={quote(f'{folder}/{record.file}')}"}
    data |= {name: value for name, value in details.items() if value not in (None, "")}
    if not record.label:
        return {"data": data}
    value = {"choices": [record.label]}
    result = [{"from_name": CHOICE, "to_name": IMAGE, "type": "choices", "value": value}]
    if record.source == GIVEN:
        return {"data": data, "annotations": [{"result": result}]}
    score = {} if record.confidence is None else {"score": data.pop("confidence")}
    return {"data": data, "predictions": [{"model_version": _MODEL_VERSION, **score, "result": result}]}


def labelling_interface(records: Sequence[LabelRecord]) -> str:
    """Return the labelling interface (XML) that tasks of ``write`` need: the choice of one class an image."""
    from xml.sax.saxutils import quoteattr

    choices = "".join(f"\n    <Choice value={quoteattr(name)}/>" for name in class_names(records))
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}"/>\n'
        f'  <Choices name="{CHOICE}" toName="{IMAGE}" choice="single">{choices}\n  </Choices>\n</View>\n'
    )
