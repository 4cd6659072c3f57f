"""Where studies are kept: a journal file, or any storage that Optuna takes an address of."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from kmpl.errors import DamagedWarning, FileError, StoreError
from kmpl.runtime.files import describe
from kmpl.runtime.servers import masked


def address(mlruns: Path, given: str = "") -> str:
    """Return where studies are kept: what is given, else ``OPTUNA_STORAGE``, else a journal in the folder of runs."""
    return given or os.environ.get("OPTUNA_STORAGE", "") or str(mlruns.resolve() / "optuna.journal")


def studies_file(where: str) -> Path | None:
    """Return the file that an address names; None where a server keeps the studies."""
    if "://" not in where:
        return Path(where).resolve()
    name = make_url(where).database if where.startswith("sqlite") else None
    return Path(name).resolve() if name else None


def open_studies(where: str) -> BaseStorage:
    """Return the storage at an address (``postgresql://…``, ``sqlite:///…``) or in a journal file.

    Raises:
        UserError: it does not answer, cannot be written or is none of Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in where:
        return _open_journal(Path(where))
    try:
        if where.startswith("redis"):
            raise StoreError(
                f"{masked(where)}: studies are kept in a journal file or a database, not in Redis", masked(where)
            )
        return RDBStorage(where)
    except ImportError as error:  # nothing to start: the database's driver is not installed
        raise StoreError(
            f"the studies' storage {masked(where)} does not answer: its driver is not installed; install "
            "kmpl[postgres] for postgresql://…, or give another --storage",
            masked(where),
        ) from error
    except (SQLAlchemyError, OSError, RuntimeError, ValueError) as error:
        raise StoreError(
            f"the studies' storage {masked(where)} does not answer: {masked(str(error).splitlines()[0])}; start it, or "
            "give another --storage",
            masked(where),
        ) from error


@contextlib.contextmanager
def studies_answer(where: str) -> Iterator[None]:
    """Say in one line that the storage of studies failed on the way.

    Raises:
        UserError: instead of what Optuna raised.
    """
    try:
        yield
    except StorageInternalError as error:
        raise StoreError(
            f"the studies at {masked(where)} can no longer be written: {masked(str(error).splitlines()[0])}; all "
            "trials done so far are kept: give the same command again",
            masked(where),
        ) from error


def _open_journal(path: Path) -> JournalStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(path))
        _mend(path)
        return JournalStorage(backend)
    except OSError as error:
        raise FileError(f"{describe(error, path)}; give another --storage", path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{path} is no journal of studies: {error}; move it away, or give another --storage", path
        ) from error


def _mend(path: Path) -> None:
    """Take away the part of a line that a writer left who was killed; else the next line would be glued to it.

    Nothing is lost by that: what was being written had not happened yet for anybody who reads.

    Raises:
        UserError: a line in the middle cannot be read, which no kill does.
    """
    lock = JournalFileSymlinkLock(str(path))  # the one that writers hold
    lock.acquire()
    try:
        _cut(path)
    finally:
        lock.release()


def _cut(path: Path) -> None:
    with path.open("rb+") as file:
        whole = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                json.loads(line)
            except ValueError as error:
                raise FileError(
                    f"{path}, line {number}, is damaged ({error}); mend the line, or move the file away: those before "
                    "it are whole",
                    path,
                ) from error
            whole += len(line)
        cut = path.stat().st_size - whole
        if cut:
            file.truncate(whole)
            warnings.warn(
                f"{path}: its last line was cut off; its {cut} bytes are taken away, all before them is kept",
                DamagedWarning,
                stacklevel=2,
            )
