"""Push a folder to Label Studio, pull what people annotated there, and label by it, round after round."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from kmpl.datasets.image_files import scan
from kmpl.errors import UserError
from kmpl.formats.given_labels import NO_RULES, GivenLabels, Rules
from kmpl.formats.records import LabelRecord, class_names
from kmpl.jobs.label_files import Files
from kmpl.jobs.label_records import records_of_file
from kmpl.label_studio import pull, push
from kmpl.label_studio.client import UnreachableError, connect
from kmpl.label_studio.projects import Project, find_or_make, found, offer
from kmpl.label_studio.push import Images, Pushed, Say

T = TypeVar("T")
_PAUSES_SECONDS = (1, 2, 4, 8, 15, 30)
"""How long an absent server is waited for, again and again: a minute in all."""
MIN_CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder, and the project that it belongs to."""

    folder: Path
    url: str
    project: str
    """Title or number."""
    classes: tuple[str, ...] = ()
    """What a new project offers, besides the classes of the labels."""
    upload: bool = False
    """Images are uploaded; otherwise the server reads the folder."""
    server_path: str | None = None
    """Path of the folder on the server's machine; None: the same as here."""

    def files(self) -> list[str]:
        """Return all images of the folder."""
        return scan(self.folder)[0]


@contextmanager
def _project_of(place: Place, classes: Sequence[str] | None = None) -> Iterator[Project]:
    """Yield the project; with classes, one that there is not yet is made."""
    server = connect(place.url)
    try:
        yield found(server, place.project) if classes is None else find_or_make(server, place.project, classes)
    finally:
        server.close()


def push_labels(place: Place, labels: Path | None, rules: Rules, say: Say) -> tuple[Pushed, Project, tuple[str, ...]]:
    """Push the images that a file of labels names with their labels, or without a file all images.

    Args:
        place: folder and project; a project that there is not is made.
        labels: file of labels in any format that is read.
        rules: how it is read.
        say: receives lines for people.

    Returns:
        what was done, the project, and what a person should know of the file of labels.

    Raises:
        UserError: an error of the file, of the server or of its project.
    """
    files = place.files()
    notes: tuple[str, ...] = ()
    records = [LabelRecord(file=file) for file in files]
    if labels is not None:
        records, notes = records_of_file(labels, place.folder, files, rules)
    classes = list(dict.fromkeys((*place.classes, *class_names(records))))
    with _project_of(place, classes) as project:
        try:
            project = offer(project, classes, say)
            images = Images(root=place.folder, files=files, upload=place.upload, server_path=place.server_path)
            done = push.push(project, images, records, say, predict=labels is not None)
        except UserError:
            if project.is_new and not project.n_tasks():
                project.server.send("DELETE", project.path)
            raise
    return done, project, notes


def pull_labels(place: Place, rules: Rules = NO_RULES) -> tuple[GivenLabels, Project, int]:
    """Return what people have annotated, the project, and the number of annotations.

    Raises:
        UserError: an error of the server, or annotations that are no choices of one class for images of the folder.
    """
    with _project_of(place) as project:
        n_annotations = project.n_annotations()
        return pull.annotations(project, place.folder, place.files(), rules.class_named), project, n_annotations


def pull_to(place: Place, out: Path, rules: Rules) -> tuple[GivenLabels, Project]:
    """Write what people have annotated as a CSV of given labels.

    Raises:
        UserError: nothing is annotated, labels by hand in ``out`` would be lost, or an error of ``pull_labels``.
    """
    given, project, _ = pull_labels(place, rules)
    pull.check_annotated(project, given)
    pull.check_out(out, given.labels, pull.pulled_before(out), root=place.folder, files=place.files())
    pull.write(given.labels, out)
    return given, project


def patiently(work: Callable[[], T], say: Say) -> T:
    """Return the result of work that begins anew while the server is away, for a minute.

    Raises:
        UserError: the server stayed away, or another error of the work.
    """
    for pause in _PAUSES_SECONDS:
        try:
            return work()
        except UnreachableError as error:
            say(f"{error.message.partition(';')[0]}; again in {pause} s")
            time.sleep(pause)
    return work()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What one pass of pull, label and push came to."""

    annotations: int
    """Annotations when it pulled."""
    unlabelled: int
    """Images that nobody had annotated then."""
    labelled: bool
    """False: fewer than two classes are annotated, or every image is."""


def given_file(out: Path) -> Path:
    """Return the file of pulled labels beside the labels of all images.

    >>> given_file(Path("pseudo_labels.csv")).name
    'pseudo_labels.given.csv'
    """
    return out.with_suffix(".given.csv")


def one_pass(place: Place, files: Files, label: Callable[[Files], object], say: Say) -> Passed:
    """Pull, label the folder, push.

    Args:
        place: folder and project; without a project, one is made that people can begin with.
        files: what to write: ``out`` (CSV), ``gallery``.
        label: labels a folder, and writes its files.
        say: receives lines for people.

    Raises:
        UserError: an error of the server or of the labelling; the same pass goes on where it was.
    """
    before = pull.pulled_before(given_file(files.out))
    given, project, n_annotations = patiently(lambda: _pull_or_begin(place, files.rules, say), say)
    images = place.files()
    for note in given.notes:
        say(f"{project.page}: {note}")
    n_left = len(images) - len(given.labels)
    done = Passed(annotations=n_annotations, unlabelled=n_left, labelled=False)
    if len({*given.labels.values()}) < MIN_CLASSES or n_left == 0:
        return done
    for path in (files.out, given_file(files.out)):
        pull.check_out(path, given.labels, before, root=place.folder, files=images)
    _label(files, given, label)
    pushed, _, _ = patiently(lambda: push_labels(place, files.out, files.rules, say), say)
    say(pushed_line(pushed, project))
    return replace(done, labelled=True)


def _pull_or_begin(place: Place, rules: Rules, say: Say) -> tuple[GivenLabels, Project, int]:
    """Return what people have annotated, after tasks were made of all images: there must be something to annotate."""
    pushed, project, _ = push_labels(place, None, rules, say)
    if pushed.tasks:
        say(pushed_line(pushed, project))
    return pull_labels(place, rules)


def _label(files: Files, given: GivenLabels, label: Callable[[Files], object]) -> None:
    """Label the folder by what was pulled; the files are in their places once all are whole."""
    with tempfile.TemporaryDirectory(dir=files.out.resolve().parent, prefix=f".{files.out.name}.") as folder:
        drafts = replace(files, out=Path(folder) / files.out.name, overwrite=True, final_folder=files.out.parent)
        drafts = replace(drafts, labels=given_file(drafts.out))
        pull.write(given.labels, given_file(drafts.out))
        label(drafts)
        drafts.out.replace(files.out)
        drafts.check_file.replace(files.check_file)
        given_file(drafts.out).replace(given_file(files.out))  # last: it says which labels are not by hand


def pushed_line(pushed: Pushed, project: Project) -> str:
    """Return what a push has done, in one sentence."""
    return (
        f"Pushed to project '{project.title}': {pushed.tasks:,} new tasks, {pushed.annotations:,} annotations, "
        f"{pushed.predictions:,} predictions ({pushed.replaced:,} earlier ones removed); {project.page}"
    )


def wait_for_annotations(place: Place, count: int, every: float, say: Say) -> None:
    """Return once a project has so many annotations.

    Args:
        place: folder and project.
        count: annotations of people, in all.
        every: seconds between two looks.
        say: receives lines for people.

    Raises:
        UserError: the server stayed away for a minute, or refuses.
    """

    def look() -> int:
        with _project_of(place) as project:
            return project.n_annotations()

    while patiently(look, say) < count:
        time.sleep(every)
