"""Peak memory of this process."""

import resource
import sys
from pathlib import Path


def peak_memory() -> float:
    """Return the peak memory of this process, MiB, since ``reset_peak`` (Linux) or since its start (elsewhere)."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024  # macOS counts bytes, others KiB


def reset_peak() -> None:
    """Reset the peak memory of this process; only Linux can."""
    reset_file = Path("/proc/self/clear_refs")
    if reset_file.exists():
        reset_file.write_text("5")
