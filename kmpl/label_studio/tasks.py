"""Tasks of a project: which image of the folder each is about, and what new ones and predictions consist of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from kmpl.formats.image_names import ImageNames
from kmpl.formats.records import GIVEN, LabelRecord
from kmpl.label_studio.interface import Interface
from kmpl.label_studio.projects import Project

T = TypeVar("T")
BATCH = 500
"""Tasks, and predictions, of one request."""
FILE = "file"
"""Key of the image's path in a task's data: it survives uploads, which lose folders and characters of names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task that is there already."""

    id: int
    file: str
    """Image of the folder; empty if it is of none."""
    is_annotated: bool
    """A person has annotated or skipped it."""


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists.

    >>> list(batches("abc", 2))
    [['a', 'b'], ['c']]
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def tasks_of(project: Project, root: Path, files: Sequence[str]) -> list[Task]:
    """Return all tasks of a project.

    Args:
        project: the project.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.
    """
    names = ImageNames(root, files)
    return [
        Task(
            id=task["id"],
            file=file_of(task.get("data") or {}, project.interface.key, names),
            is_annotated=bool(task.get("total_annotations") or task.get("cancelled_annotations")),
        )
        for task in _listed(project)
    ]


def file_of(data: dict[str, Any], key: str, names: ImageNames) -> str:
    """Return the image that a task's data name, by its path or else by its address; empty if it is none of the folder.

    Args:
        data: of the task.
        key: of the image's address.
        names: finds images of the folder.
    """
    texts = [data[name] for name in (FILE, key) if isinstance(data.get(name), str)]
    return next((file for text in texts if (file := names.find_or_none(text))), "")


def _listed(project: Project) -> Iterator[dict[str, Any]]:
    """Yield what the server says of each task, in the order of their numbers."""
    wanted = {"fields": "task_only", "include": "id,data,total_annotations,cancelled_annotations"}
    page, n_read, total = 1, 0, 1
    while n_read < total:
        answer = project.server.get("/api/tasks", project=project.id, page=page, page_size=BATCH, **wanted)
        total = int(answer["total"])
        if not answer["tasks"]:
            return
        yield from answer["tasks"]
        n_read += len(answer["tasks"])
        page += 1


def new_task(record: LabelRecord, address: str, interface: Interface) -> dict[str, Any]:
    """Return a task to import; a given label is its annotation.

    Args:
        record: image and label.
        address: of the image, as Label Studio fetches it.
        interface: of the project.
    """
    task: dict[str, Any] = {"data": {FILE: record.file, interface.key: address}}
    if record.label and record.source == GIVEN:
        task["annotations"] = [{"result": result_of(record.label, interface)}]
    return task


def prediction(record: LabelRecord, task: int, interface: Interface, version: str) -> dict[str, Any]:
    """Return a label of kmpl's own as a prediction; its score is the confidence."""
    score = {} if record.confidence is None else {"score": record.confidence}
    return {"task": task, "model_version": version, **score, "result": result_of(record.label, interface)}


def result_of(label: str, interface: Interface) -> list[dict[str, Any]]:
    """Return the choice of one class, as annotations and predictions say it."""
    value = {"choices": [label]}
    return [{"from_name": interface.choices, "to_name": interface.image, "type": "choices", "value": value}]
