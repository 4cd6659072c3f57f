"""Relocation of a store that was moved or copied: MLflow stores absolute locations, which are rewritten here."""

import contextlib
import sqlite3
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kmpl.errors import FileError, MovedWarning
from kmpl.runtime.locks import is_held

HOME = "kmpl.home"
"""Tag of the experiment: the folder of the database at the time when its locations were written."""
BACKUP = "mlflow-before-move.db"
"""Copy of the database from before the last relocation, beside it."""
_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "workspaces": ("default_artifact_root", "trace_archival_location"),
}
_TAGS = {"tags": "lock", "trace_tags": "mlflow.artifactLocation"}  # table: name of the tag whose value is a location
_LOCK_TIMEOUT_SECONDS = 60.0  # to wait for another writer of the database


def relocate(database: Path, experiment: str) -> None:
    """Rewrite all locations to the folder that the database is in now, and warn in one line.

    The rewrite is one transaction: a process that dies during it leaves the database unchanged, and of two processes at
    once one does it.

    Args:
        database: MLflow's SQLite file, with its path resolved.
        experiment: name of the experiment whose tag holds the old folder.

    Raises:
        UserError: a process uses the folder under its old name, or the backup cannot be written.
        sqlite3.Error: the database cannot be read or written.
    """
    new = database.parent
    with contextlib.closing(sqlite3.connect(database, _LOCK_TIMEOUT_SECONDS, isolation_level=None)) as connection:
        old = home_of(connection, experiment)
        if old is None or is_same_folder(old, new):
            return
        _refuse_if_in_use(old, new)
        connection.execute("BEGIN IMMEDIATE")  # from here to COMMIT no other process writes; reading goes on
        if home_of(connection, experiment) != old:  # another process has done it
            return
        _back_up(database)
        changed = _rewrite(connection, old, new)
        _write_home(connection, experiment, new)
        elsewhere = _locations_elsewhere(connection, new)
        left_behind = _count_left_behind(connection, old, new)
        connection.execute("COMMIT")
    message = f"{new} was {old} before it was moved or copied: {changed} locations in its database are rewritten"
    message += f" (its former content is kept: {new / BACKUP})"
    if elsewhere:
        more = f" and {len(elsewhere) - 3} more" if len(elsewhere) > 3 else ""
        message += f"; locations outside it are unchanged: {', '.join(elsewhere[:3])}{more}"
    if left_behind:
        message += f"; the files of {left_behind} runs are still in {old}: cp -rn {old}/artifacts {new}/ copies them"
    warnings.warn(message, MovedWarning, stacklevel=2)


def home_of(connection: sqlite3.Connection, experiment: str) -> Path | None:
    """Return the folder of the database at the time when its locations were written; None if it is unknown."""
    if not _has(connection, "experiments", "experiment_tags"):
        return None
    query = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ? ORDER BY experiment_id"
    number, location = connection.execute(query, (experiment,)).fetchone() or (None, None)
    tag_query = "SELECT value FROM experiment_tags WHERE experiment_id = ? AND key = ?"
    if row := connection.execute(tag_query, (number, HOME)).fetchone():
        return Path(row[0])
    path = path_of(location or "")  # an early version wrote no tag
    if path is None or path.name != "artifacts":
        return None
    new = Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent
    return path.parent if (new / "artifacts").exists() or not path.exists() else None


def is_same_folder(old: Path, new: Path) -> bool:
    """Say whether the old folder is this one, perhaps under another name."""
    try:
        return old == new or old.samefile(new)
    except OSError:
        return False


def _refuse_if_in_use(old: Path, new: Path) -> None:
    for lock in [*(new / "locks").glob("*.lock"), new / "logs" / "up.lock"]:
        if is_held(lock):
            raise FileError(
                f"{new} was {old} before, and a process still uses it under that name ({lock.name}); stop it or wait "
                "for it, then run the same command again",
                new,
            )


def _back_up(database: Path) -> None:
    draft = database.parent / f".mlflow-{uuid.uuid4().hex}.db"  # after a kill, the next start removes it
    try:
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            source.backup(copy)
        draft.replace(database.parent / BACKUP)
    except (sqlite3.Error, OSError) as error:
        draft.unlink(missing_ok=True)
        raise FileError(
            f"{database.parent} was moved or copied, and the backup of its database cannot be written before the "
            f"change: {error}; nothing is changed",
            database.parent,
        ) from error


def _rewrite(connection: sqlite3.Connection, old: Path, new: Path) -> int:
    """Rewrite all locations below the old folder; return their number."""
    connection.create_function("moved", 1, lambda location: _new_location(location, old, new), deterministic=True)
    count = 0
    for table, column, condition in _columns(connection):
        change = f"UPDATE {table} SET {column} = moved({column}) WHERE {condition} AND {column} <> moved({column})"
        count += connection.execute(change).rowcount
    return count


def _write_home(connection: sqlite3.Connection, experiment: str, new: Path) -> None:
    query = "SELECT experiment_id FROM experiments WHERE name = ?"
    for (number,) in connection.execute(query, (experiment,)).fetchall():
        connection.execute("DELETE FROM experiment_tags WHERE experiment_id = ? AND key = ?", (number, HOME))
        insert = "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (?, ?, ?)"
        connection.execute(insert, (number, HOME, str(new)))


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """Yield table, column and condition of everything that may hold a location; old schemas lack some tables."""
    for table, columns in _COLUMNS.items():
        yield from ((table, column, f"{column} IS NOT NULL") for column in columns if _has(connection, table))
    for table, key in _TAGS.items():
        if _has(connection, table):
            yield table, "value", f"key = '{key}' AND value IS NOT NULL"


def _has(connection: sqlite3.Connection, *tables: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return all(connection.execute(query, (table,)).fetchone()[0] for table in tables)


def path_of(location: str) -> Path | None:
    """Return the path of a location on this machine, from a URI or a plain path; None for all other locations."""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return Path(location) if location.startswith("/") else None


def _new_location(location: str, old: Path, new: Path) -> str:
    path = path_of(location)
    if path is None or not path.is_relative_to(old):
        return location
    new_path = new / path.relative_to(old)
    return new_path.as_uri() if location.startswith("file:") else str(new_path)


def _locations_elsewhere(connection: sqlite3.Connection, new: Path) -> list[str]:
    """Return the locations of runs and models outside this folder; a location covers those below it."""
    locations: list[str] = []
    for table, column in (("experiments", _COLUMNS["experiments"][0]), ("runs", "artifact_uri")):
        used = "WHERE experiment_id IN (SELECT experiment_id FROM runs)" if table == "experiments" else ""
        rows = connection.execute(f"SELECT DISTINCT {column} FROM {table} {used} ORDER BY 1").fetchall()
        for location in (row[0] for row in rows if row[0] and not row[0].startswith("mlflow-artifacts:")):
            path = path_of(location)
            inside = path is not None and path.is_relative_to(new)
            if not inside and not location.startswith(tuple(f"{above}/" for above in locations)):
                locations.append(location)
    return locations


def _count_left_behind(connection: sqlite3.Connection, old: Path, new: Path) -> int:
    """Return the number of runs whose files are in the old folder and not here."""
    count = 0
    for (location,) in connection.execute("SELECT artifact_uri FROM runs").fetchall():
        path = path_of(location or "")
        if path is not None and path.is_relative_to(new) and not path.exists():
            count += (old / path.relative_to(new)).exists()
    return count
