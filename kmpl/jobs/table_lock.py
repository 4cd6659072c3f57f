"""The lock of a table of labels: of two processes that would write the same file, the second says who is the first."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from kmpl.errors import FileError
from kmpl.runtime.locks import try_hold


@contextmanager
def table_lock(table: Path, mlruns: Path, command: str) -> Iterator[None]:
    """Hold the lock of a table of labels while the block runs.

    Args:
        table: the file of labels; it need not exist.
        mlruns: folder of the tracked runs, which has the locks.
        command: what writes the table, for whoever comes second.

    Raises:
        FileError: another process holds it.
    """
    name = hashlib.sha256(str(table.resolve()).encode()).hexdigest()[:12]
    lock = mlruns.resolve() / "locks" / f"table-{name}.lock"
    holder = lock.with_suffix(".json")
    made = [folder for folder in (lock.parent, lock.parent.parent) if not folder.exists()]
    with try_hold(lock) as is_held:
        if not is_held:
            problem = f"{_who(holder)} writes it now; wait until that is done, or name another file with --out"
            raise FileError(f"{table}: {problem}", table)
        about = {"command": command, "process": os.getpid(), "since": f"{datetime.now():%H:%M}"}
        holder.write_text(json.dumps(about), encoding="utf-8")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)
            _remove(made, lock)


def _remove(made: Sequence[Path], lock: Path) -> None:
    """Remove folders that this lock alone made necessary: what was refused leaves nothing."""
    if made:
        with suppress(OSError):  # not empty, for there was something to keep
            lock.unlink()
            for folder in made:
                folder.rmdir()


def _who(holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"`{about['command'] or 'kmpl'}` (process {about['process']}, since {about['since']})"
    except (OSError, ValueError, KeyError):  # it has just begun
        return "another process"
