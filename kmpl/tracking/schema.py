"""Whether this MLflow can use a database of runs: it must be of the version that this MLflow makes."""

import shlex
from pathlib import Path

import mlflow
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow import MlflowClient
from sqlalchemy import NullPool, create_engine, inspect, make_url, text

from kmpl.errors import FileError, StoreError
from kmpl.runtime.servers import masked

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def sqlite_uri(database: Path) -> str:
    """Return the address of a database file.

    Raises:
        UserError: its path holds what means something else in an address; MLflow would write into another folder.
    """
    uri = f"sqlite:///{database}"
    if make_url(uri).database != str(database):
        raise FileError(
            f"runs cannot be kept in {database.parent}: ? and % have a meaning of their own in MLflow's addresses; "
            "rename the folder, or choose another with --mlruns",
            database.parent,
        )
    return uri


def make_database(database: Path) -> None:
    """Make a new, empty database file: MLflow takes all the steps to its schema of today at the first look."""
    MlflowClient(sqlite_uri(database)).search_experiments(max_results=1)


def database_file(uri: str) -> Path | None:
    """Return the database file that an address names, resolved; None where it names a server, or no file yet."""
    if not uri.startswith("sqlite"):
        return None
    named = make_url(uri).database
    return Path(named).resolve() if named and Path(named).is_file() else None


def check_schema(uri: str) -> None:
    """Refuse a database of another version of MLflow, before MLflow itself changes it under other processes' hands.

    Raises:
        UserError: in one line that says what to run.
    """
    found = _version(uri)
    known = ScriptDirectory.from_config(_migrations())
    if found is None or found == known.get_current_head():
        return
    try:
        known.get_revision(found)
    except CommandError as error:  # this MLflow has never heard of it
        raise StoreError(
            f"the runs at {masked(uri)} were written by a newer MLflow than the {mlflow.__version__} that is installed "
            f"(schema {found}); install the newer one: pip install --upgrade mlflow",
            masked(uri),
        ) from error
    path = database_file(uri)
    copy = f"cp {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}" if path else "make a backup of the database"
    raise StoreError(
        f"the runs at {masked(uri)} were written by an older MLflow (schema {found}) than {mlflow.__version__}, which "
        f"is installed; stop all that writes to them (sweeps, kmpl up, kmpl ui), copy the database ({copy}), then run: "
        f"mlflow db upgrade {shlex.quote(masked(uri))}",
        masked(uri),
    )


def _version(uri: str) -> str | None:
    """Return the version that a database says it is of; None where it says none, or a server is asked instead."""
    if not uri.startswith(_DATABASES) or (uri.startswith("sqlite") and database_file(uri) is None):
        return None
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None


def _migrations() -> Config:
    """Return where MLflow keeps the steps from each version of its schema to the next."""
    config, place = Config(), Path(mlflow.__file__).parent / "store" / "db_migrations"
    config.set_main_option("script_location", str(place).replace("%", "%%"))  # Python's own form of settings files
    return config
