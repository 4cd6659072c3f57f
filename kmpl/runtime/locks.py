"""Lock files of running processes: the operating system releases the lock however the process ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


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
