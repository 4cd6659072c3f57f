"""The storage of studies: a journal file, or a database that Optuna can open."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from kmpl.errors import DamagedWarning, FileError, StoreError
from kmpl.runtime.addresses import addresses_of_environment
from kmpl.runtime.files import describe
from kmpl.runtime.servers import masked

_BLOCK = 65_536  # bytes read at once from the end


def storage_address(mlruns: Path, address: str = "") -> str:
    """Return ``address`` if there is one, else ``OPTUNA_STORAGE``, else the path of a journal in the folder of runs."""
    return address or addresses_of_environment().studies or str(mlruns.resolve() / "optuna.journal")


def studies_file(address: str) -> Path | None:
    """Return the file that an address names; None if a server stores the studies."""
    if "://" not in address:
        return Path(address).resolve()
    name = make_url(address).database if address.startswith("sqlite") else None
    return Path(name).resolve() if name else None


def open_studies(address: str) -> BaseStorage:
    """Return the storage at an address (``postgresql://…``, ``sqlite:///…``) or in a journal file.

    Raises:
        UserError: the storage does not answer, cannot be written or is not Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in address:
        return _open_journal(Path(address))
    try:
        if address.startswith("redis"):
            raise StoreError(
                f"--storage {masked(address)}: Redis cannot store studies; give a journal file or a database",
                masked(address),
            )
        more = {} if address.startswith("sqlite") else {"pool_pre_ping": True}  # a server may have been started anew
        return RDBStorage(address, engine_kwargs=more)
    except ImportError as error:  # nothing to start: the database's driver is not installed
        raise StoreError(
            f"the studies' storage {masked(address)} does not answer: its driver is not installed; install "
            "kmpl[postgres] for postgresql://…, or give another --storage",
            masked(address),
        ) from error
    except (SQLAlchemyError, OSError, RuntimeError, ValueError) as error:
        raise StoreError(
            f"the studies' storage {masked(address)} does not answer: {masked(str(error).splitlines()[0])}; start it, "
            "or give another --storage",
            masked(address),
        ) from error


def make_studies(address: str) -> None:
    """Make the tables of studies in a database, or the journal file, where they are missing.

    Raises:
        UserError: an error of ``open_studies``.
    """
    storage = open_studies(address)
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def studies_answer(address: str) -> Iterator[None]:
    """Turn a failure of the storage of studies during the block into a ``UserError`` of one line.

    Raises:
        UserError: instead of Optuna's exception.
    """
    try:
        yield
    except StorageInternalError as error:
        raise StoreError(
            f"the studies at {masked(address)} can no longer be written: {masked(str(error).splitlines()[0])}; all "
            "finished trials are kept: run the same command again",
            masked(address),
        ) from error


def _open_journal(path: Path) -> JournalStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = MendedJournal(str(path))
        _mend(path)
        return JournalStorage(backend)
    except OSError as error:
        raise FileError(f"{describe(error, path)}; give another --storage", path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{path} is no journal of studies: {error}; move it away, or give another --storage", path
        ) from error


class MendedJournal(JournalFileBackend):
    """Optuna's journal, whose last line is whole whenever something is appended.

    A process that is killed while it writes, or a loss of power (which leaves NULs), leaves half a line. Optuna (5.0.0)
    reads on before it without a word, appends to it, and from then on no process reads what was appended: a new trial
    has no number (AttributeError), and the file can no longer be opened. ``_mend`` takes half a line away when the
    journal is opened; here it is taken away where another process died since.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations, after what was left of a line that was never finished."""
        path = Path(self._file_path)
        with get_lock_file(self._lock):
            _cut_last_line(path)
            lines = (json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            with path.open("ab") as file:
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())


def _cut_last_line(path: Path) -> None:
    """Remove a last line that does not end; the caller holds the lock of writers."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if end < size:
            file.truncate(end)
            _warn_of_cut(path, size - end)


def _mend(path: Path) -> None:
    """Remove an incomplete last line, which a killed writer left; the next line would be appended to it.

    Nothing is lost: no reader has seen an incomplete line.

    Raises:
        UserError: a line in the middle cannot be read; a kill does not cause that.
    """
    lock = JournalFileSymlinkLock(str(path))  # writers hold the same lock
    lock.acquire()
    try:
        _cut(path)
    finally:
        lock.release()


def _cut(path: Path) -> None:
    with path.open("rb+") as file:
        intact_bytes = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                json.loads(line)
            except ValueError as error:
                raise FileError(
                    f"{path}, line {number}, is damaged ({error}); repair the line, or move the file away: the lines "
                    "before it are intact",
                    path,
                ) from error
            intact_bytes += len(line)
        cut = path.stat().st_size - intact_bytes
        if cut:
            file.truncate(intact_bytes)
            _warn_of_cut(path, cut)


def _warn_of_cut(path: Path, n_bytes: int) -> None:
    warnings.warn(
        f"{path}: the last line was incomplete; its {n_bytes} bytes were removed, all lines before it are kept",
        DamagedWarning,
        stacklevel=3,
    )
