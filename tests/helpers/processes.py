"""Processes that others started: which there are, and whether they are gone."""

import subprocess
import time
from collections.abc import Callable


def children(parent: int) -> list[int]:
    """Return the processes that one has started."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    return [pid for pid, above in (map(int, row.split()) for row in rows.splitlines()) if above == parent]


def alive(pid: int) -> bool:
    """Say whether a process is there, and is no zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(true: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait until something is true, at most for so long; say whether it is."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()
