"""What MLflow knows of folders that were labelled: their newest runs with a model, and the runs of new files since."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from kmpl.config.backbones import why_no_model
from kmpl.errors import UserError
from kmpl.tracking.client import search, search_deleted

LABELLING = "labelling"
"""Kind of the run of ``kmpl label``."""
NEW_FILES = "new-files"
"""Kind of the run of ``kmpl label --new-files``."""
SEEN = "seen.json"
"""File of a run of new files: the digest of each file that it labelled, by name."""
_LABELS = "labels.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledFolder:
    """The newest finished labelling of a folder that left a model."""

    run: str
    """Its id."""
    folder: Path
    """Where the folder lay."""
    reference: Path
    """What it kept of its images; a copy if the store is remote."""
    newer: str = ""
    """Id of a newer run, which left no model; empty if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Since:
    """What a labelling and the runs of new files after it wrote."""

    labels: tuple[Path, ...]
    """The labels that it wrote, and those of new files since, oldest first."""
    seen: dict[str, str]
    """Digest of each file that was labelled since, by name."""
    unlike: tuple[str, ...]
    """In what the latest of them that were unlike the old ones were so; empty if none were."""


def of_path(client: MlflowClient, folder: Path, *, reference: str, into: Path, again: str) -> LabelledFolder | None:
    """Return the labelling of the folder that lies, or lay, at a path; None if there is none.

    Args:
        client: of the store.
        folder: of the images.
        reference: name of the file that says what a labelling kept of its images.
        into: folder for copies of remote files.
        again: the command that labels the folder.

    Raises:
        UserError: its run left no model, or no reference.
    """
    runs = _of_folder(_finished(client), str(folder.resolve()))
    if not runs:
        return None
    with_model = [run for run in runs if _has_model(run)]
    if not with_model:
        raise UserError(
            f"{folder}: its run {runs[0].info.run_id} left no model: "
            f"{why_no_model(runs[0].data.tags.get('backbone', '')) or 'its model was removed'}; label anew: {again}"
        )
    run = with_model[0]
    run_id = str(run.info.run_id)
    if not _holds(client, run, reference):
        raise UserError(
            f"{folder}: its run {run_id} holds no {reference}, which says what the old images were like (it was "
            f"labelled in shards, is of an earlier version, or was removed); label anew: {again}"
        )
    newer = "" if run is runs[0] else str(runs[0].info.run_id)
    return LabelledFolder(
        run=run_id,
        folder=folder.resolve(),
        reference=_fetch(client, run_id, reference, into / run_id),
        newer=newer,
    )


def of_others(client: MlflowClient, folder: Path, *, reference: str, into: Path) -> list[LabelledFolder]:
    """Return the newest labelling with a model and a reference of each other folder, newest first."""
    found: dict[str, LabelledFolder] = {}
    for run in _finished(client):
        root, run_id = run.data.tags.get("folder", ""), str(run.info.run_id)
        if root and root not in (*found, str(folder.resolve())) and _has_model(run) and _holds(client, run, reference):
            kept = _fetch(client, run_id, reference, into / run_id)
            found[root] = LabelledFolder(run=run_id, folder=Path(root), reference=kept)
    return list(found.values())


def refuse_unknown(client: MlflowClient, folder: Path, again: str) -> NoReturn:
    """Refuse a folder that was never labelled.

    Raises:
        UserError: always; if its run was deleted, it says so.
    """
    deleted = _of_folder(search_deleted(client, kind=LABELLING), str(folder.resolve()))
    was = f" (its run {deleted[0].info.run_id} was deleted in MLflow, and can be restored there)" if deleted else ""
    raise UserError(
        f"{folder}: no finished `kmpl label` of it is among the runs at {client.tracking_uri}{was}; first: {again}"
    )


def since(client: MlflowClient, run: str, into: Path) -> Since:
    """Return what a labelling and the runs of new files after it wrote.

    Args:
        client: of the store.
        run: id of the labelling.
        into: folder for copies of remote files.

    Raises:
        UserError: a file of a run is gone.
    """
    labels = [_fetch(client, run, _LABELS, into / run)]
    seen: dict[str, str] = {}
    unlike: tuple[str, ...] = ()
    later = [one for one in search(client, kind=NEW_FILES) if one.data.tags.get("labelling") == run]
    for one in reversed(later):  # oldest first
        if one.info.status == "FINISHED":
            name = str(one.info.run_id)
            seen |= json.loads(_fetch(client, name, SEEN, into / name).read_text(encoding="utf-8"))
            labels.append(_fetch(client, name, _LABELS, into / name))
            unlike = tuple(filter(None, one.data.tags.get("unlike", "").split("; "))) or unlike
    return Since(labels=tuple(labels), seen=seen, unlike=unlike)


def _finished(client: MlflowClient) -> list[Run]:
    """Return all finished labellings, newest first."""
    return [run for run in search(client, kind=LABELLING) if run.info.status == "FINISHED"]


def _has_model(run: Run) -> bool:
    return bool(run.outputs and run.outputs.model_outputs)


def _holds(client: MlflowClient, run: Run, name: str) -> bool:
    return name in {file.path for file in client.list_artifacts(run.info.run_id)}


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
