"""Locks by name, which end with the process that holds them: the interface, and lock files.

Where a database keeps what is locked, ``kmpl.runtime.database_locks`` has the other implementation.
"""

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout


class Locks(Protocol):
    """Locks by name. However a process ends, its locks are released."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Wait for the lock of that name, and hold it while the block runs."""

    def try_hold(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock while the block runs, unless another process holds it; yield whether it is held here."""

    def living(self, name: str) -> AbstractContextManager[str]:
        """Give a sign of life while the block runs; yield its address. The name is this process's alone."""

    def address(self, name: str) -> str:
        """Return the address of the sign of life of that name."""

    def is_living(self, address: str, host: str) -> bool | None:
        """Say whether whoever gave a sign of life is alive; None: these locks cannot tell.

        Args:
            address: what ``living`` yielded there.
            host: name of the machine on which that was.
        """


class FileLocks:
    """Lock files in a folder, for the processes of one machine: the operating system releases them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the file of a lock."""
        return self.folder / f"{name}.lock"

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for the lock of that name, and hold it while the block runs. The file stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path(name)):
            yield

    def try_hold(self, name: str) -> AbstractContextManager[bool]:
        """Hold the lock while the block runs, unless another process holds it; yield whether it is held here."""
        return try_hold(self.path(name))

    @contextmanager
    def living(self, name: str) -> Iterator[str]:
        """Give a sign of life while the block runs; yield its address, which is the path of a file."""
        with hold(Path(self.address(name))):
            yield self.address(name)

    def address(self, name: str) -> str:
        """Return the address of the sign of life of that name: the path of its file."""
        return str(self.path(name).resolve())

    def is_living(self, address: str, host: str) -> bool | None:
        """Say whether whoever gave a sign of life is alive; None: it was not on this machine, or not by a file."""
        return is_file_held(address, host)


def is_file_held(address: str, host: str) -> bool | None:
    """Say whether a process of this machine holds a lock file; a dead one's file is removed. None: no such file here.

    Args:
        address: its path.
        host: name of the machine whose path it is.
    """
    if not Path(address).is_absolute() or host != platform.node():
        return None
    return is_held(Path(address), remove_dead=True)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs; a killed process leaves the file, but nobody holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def try_hold(path: Path) -> Iterator[bool]:
    """Hold the lock while the block runs, unless another process holds it; yield whether it is held here.

    The file stays: who removed it could take it from under a process that waits for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_held(path: Path, *, remove_dead: bool = False) -> bool:
    """Return whether a process on this machine holds the lock.

    Args:
        path: the lock file; it need not exist.
        remove_dead: remove a file that a dead process left.
    """
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            if remove_dead:
                path.unlink(missing_ok=True)
    except Timeout:
        return True
    return False
