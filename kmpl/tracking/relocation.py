"""A store that was moved or copied: MLflow keeps absolute locations, which are rewritten in the new place."""

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
"""Tag of the experiment: the folder of the database, as it was when its locations were written."""
BACKUP = "mlflow-before-move.db"
"""The database as it was before the last rewriting, beside it."""
_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "workspaces": ("default_artifact_root", "trace_archival_location"),
}
_TAGS = {"tags": "lock", "trace_tags": "mlflow.artifactLocation"}  # table: the tag that is a location
_PATIENCE = 60.0  # seconds to wait for who writes


def settle(database: Path, experiment: str) -> None:
    """Make all locations those of the folder that the database is in now; say in one line what was done.

    All or nothing: a process that dies on the way leaves the database as it was; of two at once, one does it.

    Args:
        database: MLflow's SQLite file, with its path resolved.
        experiment: name of the experiment that says where the folder was.

    Raises:
        UserError: somebody who knows the folder by its former name is at work, or no backup could be written.
        sqlite3.Error: the database cannot be read or written.
    """
    now = database.parent
    with contextlib.closing(sqlite3.connect(database, _PATIENCE, isolation_level=None)) as connection:
        before = _home(connection, experiment)
        if before is None or _same(before, now):
            return
        _refuse_at_work(before, now)
        connection.execute("BEGIN IMMEDIATE")  # nobody else writes from here on; until the end all others read
        if _home(connection, experiment) != before:  # somebody was quicker
            return
        _back_up(database)
        changed = _rewrite(connection, before, now)
        _remember(connection, experiment, now)
        elsewhere, left = _elsewhere(connection, now), _left_behind(connection, before, now)
        connection.execute("COMMIT")
    said = f"{now} was {before} before it was moved or copied: {changed} locations in its database are rewritten"
    said += f" (it is kept as it was: {now / BACKUP})"
    if elsewhere:
        more = f" and {len(elsewhere) - 3} more" if len(elsewhere) > 3 else ""
        said += f"; what lies elsewhere is left there: {', '.join(elsewhere[:3])}{more}"
    if left:
        said += f"; the files of {left} runs are not here but there: cp -rn {before}/artifacts {now}/ brings them"
    warnings.warn(said, MovedWarning, stacklevel=2)


def _home(connection: sqlite3.Connection, experiment: str) -> Path | None:
    """Return the folder that the database was in when its locations were written; None where it does not say."""
    if not _has(connection, "experiments", "experiment_tags"):
        return None
    ask = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ? ORDER BY experiment_id"
    number, location = connection.execute(ask, (experiment,)).fetchone() or (None, None)
    tag = "SELECT value FROM experiment_tags WHERE experiment_id = ? AND key = ?"
    if named := connection.execute(tag, (number, HOME)).fetchone():
        return Path(named[0])
    path = _path(location or "")  # of a version that did not say
    if path is None or path.name != "artifacts":
        return None
    now = Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent
    return path.parent if (now / "artifacts").exists() or not path.exists() else None


def _same(before: Path, now: Path) -> bool:
    """Say whether the former folder is this one, maybe by another name."""
    try:
        return before == now or before.samefile(now)
    except OSError:
        return False


def _refuse_at_work(before: Path, now: Path) -> None:
    for lock in [*(now / "locks").glob("*.lock"), now / "logs" / "up.lock"]:
        if is_held(lock):
            raise FileError(
                f"{now} was {before} before, and a process that knows it by that name is at work in it ({lock.name}); "
                "stop it or wait for it, then give the same command again",
                now,
            )


def _back_up(database: Path) -> None:
    draft = database.parent / f".mlflow-{uuid.uuid4().hex}.db"  # the next opening removes what a kill leaves
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
            f"{database.parent} was moved or copied, and its database cannot be kept as it is before it is changed: "
            f"{error}; nothing is changed",
            database.parent,
        ) from error


def _rewrite(connection: sqlite3.Connection, before: Path, now: Path) -> int:
    """Rewrite all locations below the former folder; return how many."""
    connection.create_function("moved", 1, lambda location: _moved(location, before, now), deterministic=True)
    count = 0
    for table, column, where in _places(connection):
        change = f"UPDATE {table} SET {column} = moved({column}) WHERE {where} AND {column} <> moved({column})"
        count += connection.execute(change).rowcount
    return count


def _remember(connection: sqlite3.Connection, experiment: str, now: Path) -> None:
    ask = "SELECT experiment_id FROM experiments WHERE name = ?"
    for (number,) in connection.execute(ask, (experiment,)).fetchall():
        connection.execute("DELETE FROM experiment_tags WHERE experiment_id = ? AND key = ?", (number, HOME))
        new = "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (?, ?, ?)"
        connection.execute(new, (number, HOME, str(now)))


def _places(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """Yield table, column and condition of all that may hold a location; older schemas lack some."""
    for table, columns in _COLUMNS.items():
        yield from ((table, column, f"{column} IS NOT NULL") for column in columns if _has(connection, table))
    for table, key in _TAGS.items():
        if _has(connection, table):
            yield table, "value", f"key = '{key}' AND value IS NOT NULL"


def _has(connection: sqlite3.Connection, *tables: str) -> bool:
    ask = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return all(connection.execute(ask, (table,)).fetchone()[0] for table in tables)


def _path(location: str) -> Path | None:
    """Return the path that a location on this machine's disks names, as URI or plainly; None for all others."""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return Path(location) if location.startswith("/") else None


def _moved(location: str, before: Path, now: Path) -> str:
    path = _path(location)
    if path is None or not path.is_relative_to(before):
        return location
    there = now / path.relative_to(before)
    return there.as_uri() if location.startswith("file:") else str(there)


def _elsewhere(connection: sqlite3.Connection, now: Path) -> list[str]:
    """Return where else the files of runs and models are; a location covers those below it."""
    found: list[str] = []
    for table, column in (("experiments", _COLUMNS["experiments"][0]), ("runs", "artifact_uri")):
        used = "WHERE experiment_id IN (SELECT experiment_id FROM runs)" if table == "experiments" else ""
        rows = connection.execute(f"SELECT DISTINCT {column} FROM {table} {used} ORDER BY 1").fetchall()
        for location in (row[0] for row in rows if row[0] and not row[0].startswith("mlflow-artifacts:")):
            path = _path(location)
            inside = path is not None and path.is_relative_to(now)
            if not inside and not location.startswith(tuple(f"{above}/" for above in found)):
                found.append(location)
    return found


def _left_behind(connection: sqlite3.Connection, before: Path, now: Path) -> int:
    """Return how many runs have files in the former folder and none here."""
    count = 0
    for (location,) in connection.execute("SELECT artifact_uri FROM runs").fetchall():
        path = _path(location or "")
        if path is not None and path.is_relative_to(now) and not path.exists():
            count += (before / path.relative_to(now)).exists()
    return count
