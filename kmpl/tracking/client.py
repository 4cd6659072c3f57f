"""Where runs are kept: opening the store, looking runs up, closing them whatever happens."""

import contextlib
import logging
import os
import shlex
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from sqlalchemy.exc import SQLAlchemyError

from kmpl.errors import FileError, StoreError
from kmpl.runtime.files import describe
from kmpl.runtime.servers import masked
from kmpl.tracking.relocation import HOME, settle
from kmpl.tracking.schema import check_schema, database_file, make_database, sqlite_uri

# MLflow reads these when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")  # half a minute; by default four, for every call
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

EXPERIMENT = "kmpl"

Client = MlflowClient
"""What other folders hold and hand back, without knowing whose it is."""


def tracking_uri(folder: Path) -> str:
    """Return where runs are kept: ``MLFLOW_TRACKING_URI``, or a database in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(folder.resolve() / "mlflow.db")


def open_store(folder: Path) -> MlflowClient:
    """Return a client of the store in ``folder``, making store and experiment where there is none.

    A store that was moved or copied is made one of its new place.

    Raises:
        UserError: the folder cannot be written, the tracking server does not answer, the store is of another version of
            MLflow, its experiment was deleted, or it was moved under a process at work.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what is said in one line here
    _check_writable(folder)
    named, uri = os.environ.get("MLFLOW_TRACKING_URI"), tracking_uri(folder)
    mlflow.set_tracking_uri(uri)
    if not named:  # MLflow sets it itself, and the next folder that is opened would be this one
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        # Processes that open a fresh database at once would each migrate it, and all but one would fail.
        with FileLock(folder / ".opening.lock"):
            if not named:
                _make_whole(folder)
            check_schema(uri)
            if database := database_file(uri):
                settle(database, EXPERIMENT)
            return _opened(uri, folder)
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the runs at {uri}: {str(error).splitlines()[0]}", masked(uri)) from error


def open_existing(folder: Path) -> MlflowClient:
    """Return a client of the store in ``folder``; unlike ``open_store`` it makes none.

    Raises:
        UserError: there is none, or as ``open_store``.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (folder / "mlflow.db").is_file():
        raise FileError(
            f"there are no runs in {folder}; `kmpl sweep` makes some, or name their folder with --mlruns", folder
        )
    return open_store(folder)


def _make_whole(folder: Path) -> None:
    """Make a new database beside its place and move it there: a half made one, after a kill, could not be opened."""
    for left in folder.glob(".mlflow-*.db*"):
        left.unlink()
    if (folder / "mlflow.db").exists():
        return
    draft = folder / f".mlflow-{uuid.uuid4().hex}.db"
    make_database(draft.resolve())
    draft.rename(folder / "mlflow.db")


def _opened(uri: str, folder: Path) -> MlflowClient:
    # MLflow remembers by a run's id alone where its files are, and a copied store has the same ids.
    _artifact_repos_cache.clear()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        place = f"{folder.resolve().as_uri()}/artifacts" if uri.startswith("sqlite:") else None
        database = database_file(uri)
        home = {HOME: str(database.parent)} if database else {}
        client.create_experiment(EXPERIMENT, place, {"mlflow.experimentKind": "custom_model_development"} | home)
    elif found.lifecycle_stage != "active":
        raise StoreError(_deleted(uri, found.experiment_id), masked(uri))
    return client


def _deleted(uri: str, experiment: str) -> str:
    """Return the line for an experiment that was deleted on MLflow's pages: how it comes back, how it goes for good."""
    where = shlex.quote(masked(uri))
    return (
        f"MLflow's experiment '{EXPERIMENT}' with all runs at {masked(uri)} was deleted; to have it back: "
        f"MLFLOW_TRACKING_URI={where} mlflow experiments restore --experiment-id {experiment}; to remove it for good: "
        f"MLFLOW_TRACKING_URI={where} mlflow gc --experiment-ids {experiment}"
    )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(f"{describe(error, folder)}; choose another folder with --mlruns", folder) from error


def experiment_id(client: MlflowClient) -> str:
    """Return the id of MLflow's experiment that all runs belong to; ``open_store`` makes it."""
    found = client.get_experiment_by_name(EXPERIMENT)
    assert found is not None, "open_store makes the experiment"
    return str(found.experiment_id)


def search(client: MlflowClient, **tags: str) -> list[Run]:
    """Return all runs that have these tags, newest first."""
    return _search(client, tags, ViewType.ACTIVE_ONLY)


def search_deleted(client: MlflowClient, **tags: str) -> list[Run]:
    """Return all runs with these tags that were deleted on MLflow's pages; they can be restored."""
    return _search(client, tags, ViewType.DELETED_ONLY)


def _search(client: MlflowClient, tags: Mapping[str, str], view: int) -> list[Run]:
    text = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    runs, token = [], None
    while True:
        page = client.search_runs(
            [experiment_id(client)], text, view, order_by=["attributes.start_time DESC"], page_token=token
        )
        runs += list(page)
        token = page.token
        if not token:
            return runs


def page(experiment: str, run: str) -> str:
    """Return the address of a run on MLflow's pages: the tracking server's, or those of ``kmpl up`` and ``kmpl ui``."""
    base = os.environ.get("MLFLOW_TRACKING_URI", "")
    base = base if base.startswith("http") else os.environ.get("KMPL_MLFLOW_PAGES", "http://127.0.0.1:5000")
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run}"


def failed_outside(error: BaseException) -> bool:
    """Say whether something that may answer next time failed: network, tracking server, storage."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | MlflowException):
            return True
        cause = cause.__cause__
    return False


def link(client: MlflowClient, earlier: list[Run], successor: str) -> None:
    """Say in the newest unfinished run, and in its successor, who goes on with the work."""
    before = next((run for run in earlier if run.info.run_id != successor), None)
    if before and before.info.status != "FINISHED":
        client.set_tag(before.info.run_id, "successor", successor)
        client.set_tag(successor, "predecessor", before.info.run_id)


@contextlib.contextmanager
def closing(client: MlflowClient, run: str) -> Iterator[None]:
    """Close a run with the status that fits how the block ended, whatever happens.

    Who is stopped has not failed: Ctrl-C, and Prefect's signal when a flow run is cancelled, are no ``Exception``.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, MlflowException | SQLAlchemyError):  # else the store is what failed
            stopped = not isinstance(error, Exception)
            with contextlib.suppress(MlflowException, SQLAlchemyError):
                if not stopped:
                    client.set_tag(run, "error", (str(error) or type(error).__name__)[:4000])
                client.set_terminated(run, "KILLED" if stopped else "FAILED")
        raise
    client.set_terminated(run, "FINISHED")


@contextlib.contextmanager
def store_answers() -> Iterator[None]:
    """Say in one line that the store of runs failed on the way: the server is gone, the disk is full.

    Raises:
        UserError: instead of what MLflow raised.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        uri = mlflow.get_tracking_uri()
        if "'active' state" in str(error):  # something was deleted meanwhile
            found = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
            if found is not None and found.lifecycle_stage != "active":
                raise StoreError(_deleted(uri, found.experiment_id), masked(uri)) from error
        raise StoreError(
            f"the runs at {uri} can no longer be written: {_reason(error)}; all steps done so "
            "far are kept: give the same command again",
            masked(uri),
        ) from error


def _reason(error: Exception) -> str:
    """Return the line that says what was wrong; SQLAlchemy may say before it when it noticed."""
    lines = str(error).splitlines()
    return next((line for line in lines if not line.startswith("(raised as a result of")), lines[0])
