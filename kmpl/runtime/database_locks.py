"""Locks of a PostgreSQL database, for all machines that reach it: a lock lives as long as its holder's connection.

Each lock is a session's advisory lock (https://www.postgresql.org/docs/current/explicit-locking.html) on a connection
of its own. The server releases it when the process ends, and within a minute when its machine or its line dies.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kmpl.errors import SettingError, StoreError
from kmpl.runtime.addresses import LOCKS, is_postgresql, shown
from kmpl.runtime.lock_connection import HOLDER, PING_SECONDS, LockConnection, connect, errors, number_of, reason
from kmpl.runtime.locks import FileLocks, Locks, is_file_held

R = TypeVar("R")

DEAD_SECONDS = PING_SECONDS + 1.0
"""How long a lock must be seen free before its holder counts as dead; a lost connection is made anew until then."""
RESTART_SECONDS = 20.0
"""The same after a start of the server, which ended all connections."""
PATIENCE_SECONDS = 60.0
"""How long a server that has answered before may be gone."""
_PREFIX = "postgresql:"
_ANSWERED: set[str] = set()
"""Databases that have answered this process; one that never did is not waited for."""


def open_locks(address: str, folder: Path) -> Locks:
    """Return the locks of a database.

    Args:
        address: of the database; empty: files in the folder.
        folder: of the lock files; it is made when the first is held.

    Raises:
        SettingError: the address is of no PostgreSQL database.
    """
    if not address:
        return FileLocks(folder)
    if not is_postgresql(address):
        raise SettingError(
            LOCKS, shown(address), "only PostgreSQL's locks end with who held them", "postgresql://HOST/DATABASE"
        )
    return DatabaseLocks(address)


class DatabaseLocks:
    """Advisory locks of one database. Nothing is connected before the first lock is asked for."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._identity = ""

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the lock of that name, and hold it while the block runs.

        Raises:
            StoreError: the database does not answer, or another process took the lock while it did not.
        """
        pause = 0.02
        while True:
            with self.try_hold(name) as is_mine:
                if is_mine:
                    yield
                    return
            time.sleep(pause)
            pause = min(1.5 * pause, 0.5)

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        """Hold the lock while the block runs, unless another process holds it; yield whether it is held here.

        Raises:
            StoreError: the database does not answer, or another process took the lock while it did not.
        """
        session = LockConnection(self.database, name)
        try:
            if not self._answer(session.take):
                yield False
                return
            with session.kept():
                yield True
        finally:
            session.close()

    @contextmanager
    def living(self, name: str) -> Iterator[str]:
        """Give a sign of life while the block runs; yield its address.

        Raises:
            StoreError: the database does not answer.
        """
        with self.hold(name):
            yield self.address(name)

    def address(self, name: str) -> str:
        """Return the address of the sign of life of that name: the database's own number, and the name.

        Raises:
            StoreError: the database does not answer.
        """
        return f"{self.identity()}#{name}"

    def is_living(self, address: str, host: str) -> bool | None:
        """Say whether whoever gave a sign of life is alive; None: it was not in this database.

        A lock that is free may be one whose holder has just lost its connection, so two looks decide.

        Raises:
            StoreError: the database does not answer.
        """
        identity, _, name = address.partition("#")
        if not address.startswith(_PREFIX):
            return is_file_held(address, host)
        if identity != self.identity():
            return None
        begin = time.monotonic()
        while True:
            is_held, uptime = self._answer(lambda: self._look(name))
            if is_held:
                return True
            wait = max(DEAD_SECONDS - (time.monotonic() - begin), RESTART_SECONDS - uptime)
            if wait <= 0:
                return False
            time.sleep(wait)

    def identity(self) -> str:
        """Return what tells this database from all others, by whatever address a machine reaches it.

        Raises:
            StoreError: the database does not answer.
        """
        if not self._identity:
            ask = (
                "SELECT system_identifier, oid FROM pg_control_system(), pg_database WHERE datname = current_database()"
            )
            number, database = self._answer(lambda: self._ask(ask))
            self._identity = f"{_PREFIX}{number}/{database}"
        return self._identity

    def _look(self, name: str) -> tuple[bool, float]:
        """Return whether a lock is held, and the seconds since the server was started."""
        uptime = "extract(epoch FROM now() - pg_postmaster_start_time())::float"
        is_held, seconds = self._ask(f"SELECT EXISTS({HOLDER}), {uptime}", number_of(name))
        return bool(is_held), float(seconds)

    def _ask(self, question: str, *values: Any) -> tuple[Any, ...]:
        with connect(self.database, "kmpl") as connection:
            return connection.execute(question, values).fetchone() or ()

    def _answer(self, ask: Callable[[], R]) -> R:
        """Return an answer; a server that has answered before is asked again for a while.

        Raises:
            StoreError: there is none.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = ask()
                _ANSWERED.add(self.database)
                return answer
            except errors() as error:
                if self.database not in _ANSWERED or time.monotonic() > end:
                    raise StoreError(
                        f"the locks at {shown(self.database)} do not answer: {reason(error)}; start the database, or "
                        f"name another by {LOCKS}; all finished work is kept",
                        shown(self.database),
                    ) from error
                time.sleep(1.0)
