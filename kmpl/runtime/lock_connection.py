"""A connection to PostgreSQL that holds one advisory lock: lost, it is made anew, and the lock taken again."""

import hashlib
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kmpl.errors import StoreError
from kmpl.runtime.addresses import shown
from kmpl.runtime.servers import masked

if TYPE_CHECKING:
    import psycopg

PING_SECONDS = 3.0
"""Time between two looks of a holder at its connection."""
HOLDER = """
    SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = %s
"""
"""Question for the process of the server that has the lock of a number."""
_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 60
_LINE_LOST = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
"""After which the server takes a silent line for dead: 60 s. By its own default it takes two hours."""


class LockConnection:
    """A connection for one lock. Lost, it is made anew, and the lock taken again, unless another process was faster."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.number = number_of(name)
        self.connection: psycopg.Connection[Any] | None = None
        self.label = f"kmpl {uuid.uuid4().hex[:12]} {name}"
        self.is_lost = False

    def take(self) -> bool:
        """Take the lock if nobody has it; return whether it is held."""
        self.close()
        self.connection = connect(self.address, self.label)
        # The server may not have noticed yet that the line was lost on which this process held the lock.
        for (lost,) in self.connection.execute(f"{HOLDER} AND application_name = %s", [self.number, self.label[:63]]):
            self.connection.execute("SELECT pg_terminate_backend(%s, 5000)", [lost])
        row = self.connection.execute("SELECT pg_try_advisory_lock(%s)", [self.number]).fetchone()
        return bool(row and row[0])

    def close(self) -> None:
        """Release the lock by closing the connection."""
        if self.connection is not None:
            with suppress(*errors()):
                self.connection.close()
            self.connection = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Look after the held lock while the block runs; interrupt the main thread's block if it is lost.

        Raises:
            StoreError: another process has the lock now.
        """
        is_main = threading.current_thread() is threading.main_thread()
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=[ended, is_main], daemon=True)
        keeper.start()
        try:
            yield
        except KeyboardInterrupt:
            if not self.is_lost:
                raise
        finally:
            ended.set()
            keeper.join()
        if self.is_lost:
            raise StoreError(
                f"the connection to {shown(self.address)} was lost, and another process has taken the lock "
                f"{self.name} since; it goes on with the work, and all that was finished here is kept",
                shown(self.address),
            )

    def _keep(self, ended: threading.Event, interrupts: bool) -> None:
        while not ended.wait(PING_SECONDS):
            with suppress(*errors()):  # the server is gone, and so nobody else can take the lock
                if self._answers() or self.take():
                    continue
                self.is_lost = True
                if interrupts:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # wakes what waits, too
                return

    def _answers(self) -> bool:
        with suppress(*errors()):
            return self.connection is not None and bool(self.connection.execute("SELECT 1").fetchone())
        return False


def connect(address: str, label: str) -> "psycopg.Connection[Any]":
    """Return a connection whose silence both sides notice.

    Args:
        address: of the database, as SQLAlchemy takes it.
        label: what the server's list of connections shows.

    Raises:
        StoreError: the driver is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise StoreError(
            f"the locks at {shown(address)} need its driver, which is not installed; install kmpl[postgres]",
            shown(address),
        ) from error
    connection = psycopg.connect(
        re.sub(r"^\w+(\+\w+)?://", "postgresql://", address),
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
        application_name=label[:63],
        tcp_user_timeout=_SILENCE_SECONDS * 1000,
        keepalives_idle=_LINE_LOST["tcp_keepalives_idle"],
        keepalives_interval=_LINE_LOST["tcp_keepalives_interval"],
        keepalives_count=_LINE_LOST["tcp_keepalives_count"],
    )
    theirs = ", ".join(f"set_config('{setting}', '{value}', false)" for setting, value in _LINE_LOST.items())
    connection.execute(f"SELECT {theirs}")
    return connection


def errors() -> tuple[type[Exception], ...]:
    """Return what a server that does not answer raises."""
    try:
        import psycopg
    except ImportError:
        return (OSError,)
    return psycopg.Error, OSError


def number_of(name: str) -> int:
    """Return the lock's number: the first eight bytes of a digest of its name, as PostgreSQL's bigint."""
    return int.from_bytes(hashlib.sha256(f"kmpl {name}".encode()).digest()[:8], "big", signed=True)


def reason(error: Exception) -> str:
    """Return the first line of what a database says, without a password."""
    return masked(str(error).strip().splitlines()[0]) if str(error).strip() else type(error).__name__
