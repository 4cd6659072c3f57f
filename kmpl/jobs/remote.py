"""Jobs for workers on other machines: what they take along, and what a worker checks before it begins.

A worker shares addresses with the machine that sent the job, never a path: runs, studies and steps that no server keeps
lie in a folder of that machine, and a worker that does not see this very folder refuses, instead of making its own.
"""

import contextlib
import platform
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.folder_dataset import PREFIX, place, root_of
from kmpl.errors import FileError, UserError
from kmpl.jobs.journal import Topic
from kmpl.jobs.result_key import result_key
from kmpl.jobs.workspace import Sent, Workspace
from kmpl.runtime.addresses import LOCKS, STORE, STUDIES, TRACKING, is_elsewhere
from kmpl.runtime.devices import use_threads
from kmpl.runtime.files import describe
from kmpl.store.fingerprints import code_version, environment_key
from kmpl.store.sent_folders import fetch_folder, put_folder


class Job(Protocol):
    """A job that can be sent."""

    @property
    def name(self) -> str:
        """What it is called in errors."""

    @property
    def config(self) -> ExperimentConfig:
        """Its settings."""

    @property
    def workspace(self) -> Workspace:
        """Where it keeps what it makes."""

    @property
    def needs_folder(self) -> bool:
        """Whether processes agree by files in the folder of runs."""


J = TypeVar("J", bound=Job)


@contextlib.contextmanager
def sending(jobs: Sequence[J], topic: str) -> Iterator[list[J]]:
    """Yield the jobs as they are sent; while the block runs, a worker can tell whether it sees this machine's folders.

    Args:
        jobs: with one workspace.
        topic: name under which their events come back.

    Raises:
        UserError: a folder cannot be written.
    """
    folders = {folder for job in jobs for folder in _shared_folders(job)}
    marks = tuple(sorted(folder / f".home-{uuid.uuid4().hex}" for folder in folders))
    try:
        for mark in marks:
            _make(mark)
        data = {job.config.dataset: _data(job) for job in {one.config.dataset: one for one in jobs}.values()}
        yield [
            _sent(job, tuple(m for m in marks if m.parent in _shared_folders(job)), topic, data[job.config.dataset])
            for job in jobs
        ]
    finally:
        for mark in marks:
            with contextlib.suppress(OSError):
                mark.unlink()


def received(job: J) -> J:
    """Return a job as this process does it; one that was not sent stays as it is.

    Raises:
        UserError: this worker does not see a folder that it needs, or would compute other numbers.
    """
    sent = job.workspace.sent
    if sent is None:
        return job
    job.workspace.addresses.use()
    lost = next((mark for mark in sent.marks if not mark.is_file()), None)
    if lost is not None:
        raise FileError(_lost_line(job, sent, lost.parent), lost.parent)
    with _named():
        _check_numbers(job, sent)
    shared = any(mark.parent == job.workspace.mlruns for mark in sent.marks)
    mlruns = job.workspace.mlruns if shared else job.workspace.scratch / "jobs"
    return replace(job, workspace=replace(job.workspace, mlruns=mlruns, sent=None))  # type: ignore[type-var]


def _check_numbers(job: Job, sent: Sent) -> None:
    """Refuse a job whose numbers would be others here; have its data at hand."""
    here = _environment(job.config)
    others = [f"{name} {here.get(name)} (there {value})" for name, value in sent.environment.items()
              if here.get(name) != value]  # fmt: skip
    if others:
        raise UserError(
            f"its numbers would not be those of {sent.by}: it has {', '.join(others)}; make both the same (kmpl doctor "
            "compares)"
        )
    if isinstance(sent.data, str):
        place(job.config.dataset, fetch_folder(job.workspace.store, sent.data, job.workspace.scratch / "folders"))
    elif sent.data is not None:
        place(job.config.dataset, sent.data)
    if result_key(job.config) != sent.key:
        raise UserError(
            f"{job.config.dataset}, or the backbone {job.config.backbone}, is not there what it is on {sent.by}; make "
            "both the same"
        )


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Say in an error which worker it was."""
    try:
        yield
    except UserError as error:
        error.add_context(f"worker {platform.node()}")
        raise


def _data(job: Job) -> str | Path | None:
    """Put a folder of images into a store elsewhere, and return its key; or its path where disks are shared."""
    if not job.config.dataset.startswith(PREFIX):
        return None
    root = root_of(job.config.dataset)
    return put_folder(job.workspace.store, root) if is_elsewhere(job.workspace.addresses.store) else root.resolve()


def _sent(job: J, marks: tuple[Path, ...], topic: str, data: str | Path | None) -> J:
    sent = Sent(
        by=platform.node(),
        marks=marks,
        environment=_environment(job.config),
        key=result_key(job.config),
        data=data,
    )
    return replace(job, workspace=replace(job.workspace, events=Topic(topic), sent=sent))  # type: ignore[type-var]


def _shared_folders(job: Job) -> set[Path]:
    """Return the folders of this machine that a worker must see: those of what no server keeps."""
    at, folders = job.workspace.addresses, set[Path]()
    if job.needs_folder or not at.store or not is_elsewhere(at.tracking):
        folders.add(job.workspace.mlruns)
    if at.store and not is_elsewhere(at.store):
        folders.add(Path(at.store.removeprefix("file://")))
    return folders


def _lost_line(job: Job, sent: Sent, folder: Path) -> str:
    at = job.workspace.addresses
    needed = [] if is_elsewhere(at.tracking) else [f"{TRACKING}=http://…"]
    needed += [] if is_elsewhere(at.store) else [f"{STORE}=s3://…"]
    why = f"worker {platform.node()} does not see {folder} of {sent.by}"
    if job.needs_folder:  # to tune: studies and locks lie there
        studies = job.workspace.studies or at.studies
        needed.append(f"{LOCKS if is_elsewhere(studies) else STUDIES}=postgresql://…")
    needed = needed or [f"{STORE}=s3://…"]
    return f"{why}; give {' and '.join(needed)}, which all machines reach, or run workers that share this disk"


def _environment(config: ExperimentConfig) -> dict[str, Any]:
    use_threads(config.threads)
    return environment_key(config) | {"code": code_version("experiment")[:12]}


def _make(mark: Path) -> None:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise FileError(describe(error, mark), mark) from error
