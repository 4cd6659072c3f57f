"""A database of another version of MLflow is left as it is, and the line says what to run. Real databases."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from click.testing import CliRunner
from mlflow.db import commands
from mlflow.store.db.utils import InitialBase
from sqlalchemy import create_engine

from kmpl import tracking
from kmpl.errors import UserError
from kmpl.tracking.schema import _migrations, check_schema, database_file, sqlite_uri

OLDER = "f5a4f2784254"  # one of MLflow's own migrations, years before the newest


def test_an_older_database_is_left_alone_and_the_command_that_is_said_brings_it_up_to_date(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    uri = f"sqlite:///{folder}/mlflow.db"
    engine = create_engine(uri)
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    config = _migrations()
    config.set_main_option("sqlalchemy.url", uri)
    command.upgrade(config, OLDER)
    before = (folder / "mlflow.db").read_bytes()
    with pytest.raises(UserError, match=rf"older MLflow \(schema {OLDER}\)[^\n]*; stop all that writes") as said:
        tracking.open_store(folder)
    assert (folder / "mlflow.db").read_bytes() == before
    line = str(said.value)
    assert f"cp '{folder}/mlflow.db' '{folder}/mlflow.db.old'" in line
    assert line.endswith(f"then run: mlflow db upgrade '{uri}'")
    done = CliRunner().invoke(commands, ["upgrade", uri], catch_exceptions=False)
    assert done.exit_code == 0
    tracking.open_store(folder)


def test_a_newer_database_asks_for_the_newer_mlflow(tmp_path: Path) -> None:
    tracking.open_store(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    database.close()
    before = (tmp_path / "mlflow.db").read_bytes()
    line = (
        r"newer MLflow than the \d[^ ]* that is installed \(schema ffffffffffff\); install the newer one: pip install"
    )
    with pytest.raises(UserError, match=line):
        tracking.open_store(tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_database_without_a_version_is_left_to_mlflow(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for uri in (
        f"sqlite:///{tmp_path}/empty.db",
        f"sqlite:///{tmp_path}/none.db",
        "http://127.0.0.1:9",
        "file:///tmp/a",
    ):
        check_schema(uri)
    assert not (tmp_path / "none.db").exists()


def test_a_database_is_found_by_its_address(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    path = tmp_path / "a b" / "mlflow.db"
    assert database_file(sqlite_uri(path)) is None
    path.touch()
    assert database_file(sqlite_uri(path)) == path
    shutil.copy(path, tmp_path / "other.db")
    assert database_file("postgresql://host/db") is None
    assert not re.search("%", sqlite_uri(path))
