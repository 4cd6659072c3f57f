"""The largest memory that this process has had."""

import resource
import sys
from pathlib import Path


def peak_memory() -> float:
    """Return the largest memory of this process, MiB, since ``forget_peak`` where the system can forget (Linux)."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024


def forget_peak() -> None:
    """Begin the measurement of the largest memory anew; where the system cannot, it stays the largest so far."""
    asked = Path("/proc/self/clear_refs")
    if asked.exists():
        asked.write_text("5")
