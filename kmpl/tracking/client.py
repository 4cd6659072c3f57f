"""The store of runs: open it, search it, close runs after an error, report a failure in one line."""

import contextlib
import logging
import os
import shlex
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from sqlalchemy.exc import SQLAlchemyError

from kmpl.errors import FileError, StoreError, UserError
from kmpl.runtime.addresses import TRACKING, addresses_of_environment, is_postgresql
from kmpl.runtime.database_locks import open_locks
from kmpl.runtime.files import describe
from kmpl.runtime.servers import masked
from kmpl.tracking.local_models import EXPERIMENT, check_there
from kmpl.tracking.relocation import HOME, relocate
from kmpl.tracking.schema import check_schema, database_file, make_database, sqlite_uri

# MLflow reads these when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")  # half a minute; by default four, for every call
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # with a server: two lines for each run
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

Client = MlflowClient
"""The client's type, for folders that pass a client on without importing MLflow."""


def tracking_uri(folder: Path) -> str:
    """Return the address of the store of runs: ``MLFLOW_TRACKING_URI``, or a database in ``folder``."""
    return addresses_of_environment().tracking or sqlite_uri(folder.resolve() / "mlflow.db")


def open_store(folder: Path) -> MlflowClient:
    """Return a client of the store in ``folder``; create store and experiment if they are missing.

    The locations in a store that was moved or copied are rewritten to its new folder.

    Raises:
        UserError: the folder cannot be written, the tracking server does not answer, the store is of another version of
            MLflow, its experiment was deleted, or it was moved while a process was writing to it.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its errors become one line here, without their tracebacks.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    _check_writable(folder)
    from_environment = addresses_of_environment().tracking
    uri = tracking_uri(folder)
    mlflow.set_tracking_uri(uri)
    if not from_environment:  # MLflow sets the variable itself, and the next call would open this folder again
        os.environ.pop(TRACKING, None)
    try:
        # Processes that open a fresh database at once would each migrate it, and all but one would fail.
        with open_locks(uri if is_postgresql(uri) else "", folder).hold(".opening"):
            if not from_environment:
                _create_database(folder)
            check_schema(uri)
            if database := database_file(uri):
                relocate(database, EXPERIMENT)
            return _open_experiment(uri, folder)
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the runs at {uri}: {str(error).splitlines()[0]}", masked(uri)) from error


def open_existing(folder: Path) -> MlflowClient:
    """Return a client of the store in ``folder``; unlike ``open_store``, create nothing.

    Raises:
        UserError: there is no store, or an error of ``open_store``.
    """
    check_there(folder)
    return open_store(folder)


def _create_database(folder: Path) -> None:
    """Create a new database as a draft and rename it: a half-made one, after a kill, could not be opened."""
    for old_draft in folder.glob(".mlflow-*.db*"):
        old_draft.unlink()
    if (folder / "mlflow.db").exists():
        return
    draft = folder / f".mlflow-{uuid.uuid4().hex}.db"
    make_database(draft.resolve())
    draft.rename(folder / "mlflow.db")


def _open_experiment(uri: str, folder: Path) -> MlflowClient:
    # MLflow caches the location of a run's files by its id alone, and a copied store has the same ids.
    _artifact_repos_cache.clear()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        location = f"{folder.resolve().as_uri()}/artifacts" if uri.startswith("sqlite:") else None
        database = database_file(uri)
        home = {HOME: str(database.parent)} if database else {}
        try:
            client.create_experiment(EXPERIMENT, location, {"mlflow.experimentKind": "custom_model_development"} | home)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another machine was faster, at the same server
                raise
    elif experiment.lifecycle_stage != "active":
        raise StoreError(_deleted_line(uri, experiment.experiment_id), masked(uri))
    return client


def _deleted_line(uri: str, experiment: str) -> str:
    """Return the error text for an experiment that was deleted in MLflow, with the commands to restore or remove it."""
    address = shlex.quote(masked(uri))
    return (
        f"MLflow's experiment '{EXPERIMENT}' with all runs at {masked(uri)} was deleted; to have it back: "
        f"MLFLOW_TRACKING_URI={address} mlflow experiments restore --experiment-id {experiment}; to remove it for "
        f"good: MLFLOW_TRACKING_URI={address} mlflow gc --experiment-ids {experiment}"
    )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(f"{describe(error, folder)}; choose another folder with --mlruns", folder) from error


def experiment_id(client: MlflowClient) -> str:
    """Return the id of the MLflow experiment of all runs; ``open_store`` creates it."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None, "open_store creates the experiment"
    return str(experiment.experiment_id)


def search(client: MlflowClient, **tags: str) -> list[Run]:
    """Return all runs that have these tags, newest first."""
    return _search(client, tags, ViewType.ACTIVE_ONLY)


def search_deleted(client: MlflowClient, **tags: str) -> list[Run]:
    """Return all runs with these tags that were deleted in MLflow, newest first; they can be restored."""
    return _search(client, tags, ViewType.DELETED_ONLY)


def _search(client: MlflowClient, tags: Mapping[str, str], view: int) -> list[Run]:
    text = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id(client)], text, view, order_by=["attributes.start_time DESC"], page_token=token
        )
        runs += list(page)
        token = page.token
        if not token:
            return runs


def failed_outside(error: BaseException) -> bool:
    """Say whether an error came from network, tracking server or storage, so that a retry may succeed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError | MlflowException):
            return True
        cause = cause.__cause__
    return False


def link_successor(client: MlflowClient, earlier: list[Run], successor: str) -> None:
    """Link the newest of the earlier runs, if it is unfinished, and the run that continues its work, by tags.

    Args:
        client: of the store.
        earlier: runs, newest first.
        successor: id of the run that continues the work.
    """
    previous = next((run for run in earlier if run.info.run_id != successor), None)
    if previous and previous.info.status != "FINISHED":
        client.set_tag(previous.info.run_id, "successor", successor)
        client.set_tag(successor, "predecessor", previous.info.run_id)


def kill_running(client: MlflowClient, runs: Iterable[Run]) -> None:
    """Close as KILLED those of the runs that are RUNNING. The caller knows that their processes are dead."""
    for run in runs:
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")


@contextlib.contextmanager
def closing(client: MlflowClient, run: str) -> Iterator[None]:
    """Close a run when the block ends: FINISHED, FAILED after an ``Exception``, KILLED after an interruption.

    Ctrl-C and Prefect's signal for a cancelled flow run are interruptions: they are no ``Exception``.

    Raises:
        UserError: another process has closed the run: it took this one for dead, and does its work.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, MlflowException | SQLAlchemyError):  # else the store itself failed
            interrupted = not isinstance(error, Exception)
            with contextlib.suppress(MlflowException, SQLAlchemyError):
                if not interrupted:
                    client.set_tag(run, "error", (str(error) or type(error).__name__)[:4000])
                client.set_terminated(run, "KILLED" if interrupted else "FAILED")
        raise
    if client.get_run(run).info.status == "KILLED":
        # A worker of Dask's goes on with a task whose sweep was killed; started again, the sweep does it anew.
        raise UserError(f"run {run} was closed by another process, which does its work; nothing is lost")
    client.set_terminated(run, "FINISHED")


@contextlib.contextmanager
def store_answers() -> Iterator[None]:
    """Turn a failure of the store of runs during the block into a ``UserError`` of one line.

    Raises:
        UserError: instead of MLflow's exception; the server is gone or the disk is full, say.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        uri = mlflow.get_tracking_uri()
        if "'active' state" in str(error):  # the run or the experiment was deleted during the block
            experiment = MlflowClient(uri).get_experiment_by_name(EXPERIMENT)
            if experiment is not None and experiment.lifecycle_stage != "active":
                raise StoreError(_deleted_line(uri, experiment.experiment_id), masked(uri)) from error
        raise StoreError(
            f"the runs at {uri} can no longer be written: {_reason(error)}; all finished steps "
            "are kept: run the same command again",
            masked(uri),
        ) from error


def _reason(error: Exception) -> str:
    """Return the line of an error text that names the cause; SQLAlchemy may write another line before it."""
    lines = str(error).splitlines()
    return next((line for line in lines if not line.startswith("(raised as a result of")), lines[0])
