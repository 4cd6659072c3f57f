"""Locks of a PostgreSQL database: they end with their holder, and outlive a server that is started anew."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres import PostgresServer, running
from processes import wait_until

from kmpl.errors import SettingError, StoreError
from kmpl.runtime import database_locks, lock_connection
from kmpl.runtime.database_locks import DatabaseLocks, open_locks
from kmpl.runtime.locks import FileLocks
from kmpl.runtime.servers import free_port

HOLDING = """
import sys, time
from kmpl.runtime.database_locks import DatabaseLocks
locks = DatabaseLocks(sys.argv[1])
with locks.living("worker-1") as life, locks.hold("sweep-a"):
    print(life, flush=True)
    time.sleep(100)
"""
FASTER = {"PING_SECONDS": 0.1, "DEAD_SECONDS": 0.4, "RESTART_SECONDS": 0.0}


@pytest.fixture(autouse=True)
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lock_connection, database_locks):
        for name, seconds in FASTER.items():
            monkeypatch.setattr(module, name, seconds, raising=False)


def connections(address: str) -> list[int]:
    """Return the server's processes that hold a lock in a database."""
    ask = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = " + (
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with psycopg.connect(address) as connection:
        return [pid for (pid,) in connection.execute(ask)]


def cut(address: str) -> None:
    """End all connections that hold a lock, as a line that breaks does."""
    with psycopg.connect(address) as connection:
        for pid in connections(address):
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_who_comes_second_does_not_wait_and_who_comes_later_gets_it(postgres: str) -> None:
    here, there = DatabaseLocks(postgres), DatabaseLocks(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with here.try_hold("one") as first, there.try_hold("one") as second, there.try_hold("other") as other:
        assert (first, second, other) == (True, False, True)
    with there.try_hold("one") as later:
        assert later
    assert wait_until(lambda: not connections(postgres))


def test_another_database_of_the_same_server_has_locks_of_its_own(
    postgres: str, postgres_server: PostgresServer
) -> None:
    here, there = DatabaseLocks(postgres), DatabaseLocks(postgres_server.address)
    with here.try_hold("one") as first, there.try_hold("one") as second:
        assert first
        assert second
    with here.living("worker-1") as life:
        assert there.is_living(life, "any") is None
        assert FileLocks(Path("/none")).is_living(life, platform.node()) is None
        assert DatabaseLocks(postgres.replace("127.0.0.1", "localhost")).is_living(life, "any")


def test_a_process_that_is_killed_is_dead_and_its_locks_are_free(postgres: str) -> None:
    locks = DatabaseLocks(postgres)
    command = [sys.executable, "-c", HOLDING, postgres]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        life = other.stdout.readline().strip()
        with locks.try_hold("sweep-a") as is_mine:
            assert not is_mine
        assert locks.is_living(life, "another machine")
        os.kill(other.pid, signal.SIGKILL)
        with locks.hold("sweep-a"):  # waits no longer than the server needs to notice
            assert locks.is_living(life, "another machine") is False


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with running() as server:
        yield server


def test_a_server_that_is_started_anew_frees_nothing(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_server
    monkeypatch.setattr(database_locks, "RESTART_SECONDS", 2.0)
    here, there = DatabaseLocks(server.address), DatabaseLocks(server.address)
    with here.living("worker-1") as life, here.hold("sweep-a"):
        assert there.is_living(life, "any")
        server.stop()
        server.start()
        assert there.is_living(life, "any")
        assert wait_until(lambda: len(connections(server.address)) == 2)
        with there.try_hold("sweep-a") as is_mine:
            assert not is_mine
    server.stop("fast")
    monkeypatch.setattr(database_locks, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(StoreError, match=r"^the locks at postgresql://kmpl@127.* do not answer: .*; start the data"):
        there.is_living(life, "any")


def test_a_line_that_breaks_for_a_moment_loses_nothing(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_connection, "PING_SECONDS", 1.5)
    monkeypatch.setattr(database_locks, "DEAD_SECONDS", 4.0)
    locks, other = DatabaseLocks(postgres), DatabaseLocks(postgres)
    with locks.living("worker-1") as life, locks.hold("sweep-a"):
        assert other.is_living(life, "any")
        cut(postgres)
        assert other.is_living(life, "any")  # not at the first look
        assert wait_until(lambda: len(connections(postgres)) == 2)


def test_a_lock_that_another_process_took_meanwhile_interrupts_its_first_holder(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_connection, "PING_SECONDS", 0.5)
    first, second = DatabaseLocks(postgres), DatabaseLocks(postgres)
    lost = pytest.raises(StoreError, match="another process has taken the lock sweep-a since")
    begin = time.monotonic()
    with lost, first.hold("sweep-a"):
        cut(postgres)
        with second.hold("sweep-a"):
            time.sleep(20)
    assert time.monotonic() - begin < 15


def test_a_connection_that_the_server_takes_for_alive_is_no_hindrance(postgres: str) -> None:
    lost = lock_connection.LockConnection(postgres, "sweep-a")
    assert lost.take()
    kept, lost.connection = lost.connection, None  # the line is gone, and the server has not noticed
    assert lost.take()
    other = lock_connection.LockConnection(postgres, "sweep-a")
    assert not other.take()
    for connection in (lost, other):
        connection.close()
    assert kept is not None
    kept.close()


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("mysql://me:secret@host/db", "KMPL_LOCKS mysql://me:***@host/db: only PostgreSQL's locks end with who held"),
        (
            "postgresql://me:secret@127.0.0.1:{port}/db",
            "the locks at postgresql://me:***@127.0.0.1:{port}/db do not an",
        ),
        ("postgresql://me:secret@127.0.0.1:{port}/db?nonsense=1", "the locks at postgresql://me:***@127.0.0.1:{port}"),
    ],
)
def test_an_address_that_is_none_or_does_not_answer_is_one_line_without_the_password(
    address: str, line: str, tmp_path: Path
) -> None:
    port = str(free_port())
    with pytest.raises((SettingError, StoreError)) as refused, open_locks(
        address.replace("{port}", port), tmp_path
    ).hold("one"):  # fmt: skip
        pass
    assert str(refused.value).startswith(line.replace("{port}", port))
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_a_database_files_lock(tmp_path: Path) -> None:
    locks = open_locks("", tmp_path / "locks")
    with locks.living("worker-1") as life:
        assert locks.is_living(life, platform.node())
        assert locks.is_living(life, "another machine") is None
    assert locks.is_living(life, platform.node()) is False
    assert locks.is_living("", platform.node()) is None
