"""Memory as the system counts it: the most that a process has had, and its own alone."""

import subprocess
import sys

import numpy as np
import pytest

OWN_PEAK = """
import sys
from kmpl.benchmarks.speed.memory import peak_memory
block = b"x" * (int(sys.argv[1]) * 2**20)
print(peak_memory())
"""


def test_memory_is_what_a_process_has_had_at_most_and_its_own_alone() -> None:
    """A process that is given nothing shows nothing of the memory of the one that started it."""
    held, found = np.ones(500 * 2**20 // 8), []
    for megabytes in (0, 300):
        command = [sys.executable, "-c", OWN_PEAK, str(megabytes)]
        found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert held[0] == 1
    assert found[0] < 200
    assert found[1] - found[0] == pytest.approx(300, rel=0.1)
