"""Push: images of a folder become tasks, given labels their annotations, labels of kmpl's own their predictions."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from kmpl.errors import UserError
from kmpl.formats.records import GIVEN, LabelRecord
from kmpl.label_studio import images
from kmpl.label_studio.projects import Project
from kmpl.label_studio.tasks import Task, batches, new_task, prediction, result_of, tasks_of

MODEL_VERSION = "kmpl"
"""What the versions of kmpl's predictions begin with; a version is a push."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The folder, and how the server gets its images."""

    root: Path
    files: Sequence[str]
    """All images, relative to ``root``, with ``/``."""
    upload: bool = False
    """They are uploaded; otherwise the server reads the folder."""
    server_path: str | None = None
    """Path of the folder on the server's machine; None: the same as here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push has done."""

    tasks: int
    """New tasks."""
    annotations: int
    """Given labels that became annotations."""
    predictions: int
    replaced: int
    """Earlier predictions of kmpl that were removed."""


def push(project: Project, folder: Images, records: Sequence[LabelRecord], say: Say, *, predict: bool) -> Pushed:
    """Make tasks of images that have none, and bring their labels up to date; annotations of people stay.

    A push that was cut off is made good by the next one: it begins with what is there.

    Args:
        project: whose interface offers all classes of the records.
        folder: the images.
        records: an image each, with its label.
        say: receives a line for each batch.
        predict: replace kmpl's predictions for these images; False leaves them.

    Raises:
        UserError: the server does not read the folder, or refuses something.
    """
    tasks = tasks_of(project, folder.root, folder.files)
    there = {task.file for task in tasks}
    new = [record for record in records if record.file not in there]
    if folder.upload:
        new = _uploadable(new, say)
    n_annotations = sum(record.source == GIVEN and bool(record.label) for record in new)
    if new:
        _import(project, folder, new, say)
        tasks = tasks_of(project, folder.root, folder.files)
    of_file: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        of_file[task.file].append(task)
    n_annotations += _annotate(project, records, of_file)
    n_predictions, n_replaced = _predict(project, records, of_file, say) if predict else (0, 0)
    return Pushed(tasks=len(new), annotations=n_annotations, predictions=n_predictions, replaced=n_replaced)


def _uploadable(records: Sequence[LabelRecord], say: Say) -> list[LabelRecord]:
    """Return the records of images that Label Studio takes; a line names those of other kinds."""
    taken = [record for record in records if PurePosixPath(record.file).suffix.lower() in images.UPLOADABLE]
    if others := sorted({record.file for record in records} - {record.file for record in taken}):
        kinds = ", ".join(images.UPLOADABLE)
        say(f"{len(others):,} images are left out, first {others[0]}: Label Studio takes {kinds}")
    return taken


def _import(project: Project, folder: Images, records: Sequence[LabelRecord], say: Say) -> None:
    """Make tasks of images that have none."""
    by_file = {record.file: record for record in records}
    n_made = 0
    for addresses in _addresses(project, folder, list(by_file)):
        made = [new_task(by_file[file], address, project.interface) for file, address in addresses.items()]
        answer = project.server.send("POST", f"{project.path}/import", json=made)
        if (n := int(answer["task_count"])) != len(made):
            raise UserError(f"{project.page}: Label Studio made {n} of {len(made)} tasks; push again")
        n_made += n
        say(f"{n_made:,} of {len(by_file):,} tasks made")


def _addresses(project: Project, folder: Images, files: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yield the addresses of images, by image, in batches; an upload is in its batch once it is done."""
    if folder.upload:
        yield from images.upload(project, folder.root, files)
        return
    path = PurePosixPath(folder.server_path or folder.root.resolve().as_posix())
    address = images.served_from(project, path, files[0])
    for batch in batches(files):
        yield {file: address(file) for file in batch}


def _annotate(project: Project, records: Sequence[LabelRecord], of_file: Mapping[str, Sequence[Task]]) -> int:
    """Annotate tasks that are there and that nobody has annotated with given labels; return how many."""
    n_annotated = 0
    for record in records:
        for task in of_file.get(record.file, ()):
            if record.label and record.source == GIVEN and not task.is_annotated:
                result = {"result": result_of(record.label, project.interface)}
                project.server.send("POST", f"/api/tasks/{task.id}/annotations", json=result)
                n_annotated += 1
    return n_annotated


def _predict(
    project: Project, records: Sequence[LabelRecord], of_file: Mapping[str, Sequence[Task]], say: Say
) -> tuple[int, int]:
    """Send new predictions, then remove the earlier ones of kmpl; return how many of each."""
    version = f"{MODEL_VERSION} {datetime.now(UTC).replace(tzinfo=None).isoformat(' ', 'milliseconds')}"
    predictions = [
        prediction(record, task.id, project.interface, version)
        for record in records
        if record.label and record.source != GIVEN
        for task in of_file[record.file]
    ]
    n_sent = 0
    for batch in batches(predictions):
        answer = project.server.send("POST", f"{project.path}/import/predictions", json=batch)
        if (n := int(answer["created"])) != len(batch):
            dropped = f"dropped {len(batch) - n} of {len(batch)} predictions"
            raise UserError(
                f"{project.page}: Label Studio {dropped}; its classes or tasks changed meanwhile; push again"
            )
        n_sent += n
        say(f"{n_sent:,} of {len(predictions):,} predictions sent")
    if n_sent:  # what Label Studio fills in for the annotator
        project.server.send("PATCH", project.path, json={"model_version": version})
    pushed = {task.id for record in records for task in of_file[record.file]}
    everything = pushed == {task.id for tasks in of_file.values() for task in tasks}
    return n_sent, _remove_earlier(project, version, pushed, everything=everything)


def _remove_earlier(project: Project, version: str, pushed: set[int], *, everything: bool) -> int:
    """Remove kmpl's predictions of earlier pushes for these tasks; return how many.

    Args:
        project: the project.
        version: of this push; it stays.
        pushed: numbers of the tasks.
        everything: they are all tasks of the project, so whole versions can go at once.
    """
    versions = [name for name in project.server.get(f"{project.path}/model-versions") if is_earlier(name, version)]
    if everything:
        removals = [
            project.server.send("DELETE", f"{project.path}/model-versions", json={"model_version": name})
            for name in versions
        ]
        return sum(int(removal["deleted_predictions"]) for removal in removals)
    if not versions:
        return 0
    listed = project.server.get("/api/predictions", project=project.id)
    ids = [one["id"] for one in listed if one["model_version"] in versions and one["task"] in pushed]
    for number in ids:
        project.server.send("DELETE", f"/api/predictions/{number}")
    return len(ids)


def is_earlier(version: str, current: str) -> bool:
    """Say whether predictions are kmpl's, of another push.

    >>> [is_earlier(name, "kmpl 2") for name in ("kmpl", "kmpl 1", "kmpl 2", "kmpl-like")]
    [True, True, False, False]
    """
    return version.split(" ")[0] == MODEL_VERSION and version != current
