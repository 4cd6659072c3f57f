"""What MLflow knows of a folder that was labelled: its newest run with a model, and the runs of new files since."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from kmpl.errors import UserError
from kmpl.tracking.client import search, search_deleted
from kmpl.tracking.labelling_runs import LABELLING, NEW_FILES

SEEN = "seen.json"
"""File of a run of new files: the digest of each file that it labelled, by name."""
_LABELS = "labels.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFolder:
    """The newest finished labelling of a folder that left a model."""

    run: str
    """Its id."""
    reference: Path
    """What it kept of its images; a copy if the store is remote."""
    labels: tuple[Path, ...]
    """The labels that it wrote, and those of new files since, oldest first."""
    seen: dict[str, str]
    """Digest of each file that was labelled since, by name."""
    newer: str = ""
    """Id of a newer run, which left no model; empty if there is none."""


def find(client: MlflowClient, folder: Path, *, reference: str, into: Path, again: str) -> LabelledFolder:
    """Return what is known of a folder.

    Args:
        client: of the store.
        folder: of the images.
        reference: name of the file that says what a labelling kept of its images.
        into: folder for copies of remote files.
        again: the command that labels the folder.

    Raises:
        UserError: it was not labelled, its run was deleted, it left no model, or a file of the run is gone.
    """
    runs = _finished_runs(client, folder, again)
    with_model = [run for run in runs if run.outputs and run.outputs.model_outputs]
    if not with_model:
        raise UserError(
            f"{folder}: its run {runs[0].info.run_id} left no model, as the features came from a file or from another "
            f"runtime; label anew: {again}"
        )
    run = with_model[0]
    run_id = str(run.info.run_id)
    copies = into / run_id
    if reference not in {file.path for file in client.list_artifacts(run_id)}:
        raise UserError(
            f"{folder}: its run {run_id} holds no {reference}, which says what the old images were like (it is of an "
            f"earlier version, or was removed); label anew: {again}"
        )
    labels = [_fetch(client, run_id, _LABELS, copies)]
    seen: dict[str, str] = {}
    since = [one for one in search(client, kind=NEW_FILES) if one.data.tags.get("labelling") == run_id]
    for one in reversed(since):  # oldest first
        if one.info.status == "FINISHED":
            later = str(one.info.run_id)
            seen |= json.loads(_fetch(client, later, SEEN, into / later).read_text(encoding="utf-8"))
            labels.append(_fetch(client, later, _LABELS, into / later))
    return LabelledFolder(
        run=run_id,
        reference=_fetch(client, run_id, reference, copies),
        labels=tuple(labels),
        seen=seen,
        newer="" if run is runs[0] else str(runs[0].info.run_id),
    )


def _finished_runs(client: MlflowClient, folder: Path, again: str) -> list[Run]:
    """Return the labellings of a folder, newest first.

    Raises:
        UserError: there is none.
    """
    root = str(folder.resolve())
    runs = [run for run in _of_folder(search(client, kind=LABELLING), root) if run.info.status == "FINISHED"]
    if not runs:
        deleted = _of_folder(search_deleted(client, kind=LABELLING), root)
        was = f" (its run {deleted[0].info.run_id} was deleted in MLflow, and can be restored there)" if deleted else ""
        raise UserError(
            f"{folder}: no finished `kmpl label` of it is among the runs at {client.tracking_uri}{was}; first: {again}"
        )
    return runs


def _of_folder(runs: Sequence[Run], root: str) -> list[Run]:
    return [run for run in runs if run.data.tags.get("folder") == root]


def _fetch(client: MlflowClient, run: str, name: str, into: Path) -> Path:
    """Return a file of a run.

    Raises:
        UserError: it is gone.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        return Path(client.download_artifacts(run, name, str(into)))
    except (MlflowException, OSError) as error:
        raise UserError(f"run {run} holds no {name}: {str(error).splitlines()[0]}") from error
