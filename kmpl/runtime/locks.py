"""Who is alive: a file locked by a process at work, which the operating system lets go of however the process dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def present(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs; a killed process leaves the file, which nobody holds then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_present(path: Path) -> bool:
    """Say whether somebody on this machine holds the lock; what a dead process left is removed."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return True
    return False


def is_held(path: Path) -> bool:
    """Say whether somebody on this machine holds the lock; the file is left where it is."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
