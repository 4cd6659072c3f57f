"""The schema of a database of runs: it must be the version that the installed MLflow writes."""

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
        UserError: the path holds ? or %, which have another meaning in an address; MLflow would write elsewhere.
    """
    uri = f"sqlite:///{database}"
    if make_url(uri).database != str(database):
        raise FileError(
            f"runs cannot be kept in {database.parent}: ? and % have a special meaning in MLflow's addresses; "
            "rename the folder, or choose another with --mlruns",
            database.parent,
        )
    return uri


def make_database(database: Path) -> None:
    """Make a new, empty database file: MLflow takes all the steps to its schema of today at the first look."""
    MlflowClient(sqlite_uri(database)).search_experiments(max_results=1)


def database_file(uri: str) -> Path | None:
    """Return the database file that an address names, resolved; None for a server, and if there is no such file."""
    if not uri.startswith("sqlite"):
        return None
    path = make_url(uri).database
    return Path(path).resolve() if path and Path(path).is_file() else None


def check_schema(uri: str) -> None:
    """Refuse a database of another version of MLflow, before MLflow migrates it while other processes use it.

    Raises:
        UserError: the line names the command to run.
    """
    version = _version(uri)
    migrations = ScriptDirectory.from_config(_migrations())
    if version is None or version == migrations.get_current_head():
        return
    try:
        migrations.get_revision(version)
    except CommandError as error:  # this MLflow does not know the version
        raise StoreError(
            f"the runs at {masked(uri)} were written by a newer MLflow than the {mlflow.__version__} that is installed "
            f"(schema {version}); install the newer one: pip install --upgrade mlflow",
            masked(uri),
        ) from error
    path = database_file(uri)
    copy = f"cp {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}" if path else "make a backup of the database"
    raise StoreError(
        f"the runs at {masked(uri)} were written by an older MLflow (schema {version}) than {mlflow.__version__}, "
        f"which is installed; stop all that writes to them (sweeps, kmpl up, kmpl ui), copy the database ({copy}), "
        f"then run: mlflow db upgrade {shlex.quote(masked(uri))}",
        masked(uri),
    )


def _version(uri: str) -> str | None:
    """Return the schema version of a database; None if it has none, or if the address is a server's."""
    if not uri.startswith(_DATABASES) or (uri.startswith("sqlite") and database_file(uri) is None):
        return None
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None


def _migrations() -> Config:
    """Return Alembic's configuration with the folder of MLflow's migrations."""
    config = Config()
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))  # configparser interpolates %
    return config
