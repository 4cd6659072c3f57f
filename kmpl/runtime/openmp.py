"""How long OpenMP's threads spin before they sleep.

By default a waiting thread spins for milliseconds. Beside another busy process that takes core time from the thread
that it waits for, and training becomes several times slower. A short spin bridges the gap between two operations; a
thread that waits longer sleeps, and leaves the core to others.
"""

import os
from collections.abc import MutableMapping

WAITING = {
    "GOMP_SPINCOUNT": "1500",  # libgomp: iterations of a loop, some 0.04 ms; its default is 300,000
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's: ms; their default is 200
}
"""Environment variables of the OpenMP libraries; each library reads only its own."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads spin briefly before they sleep, in this process and in those that it starts.

    OpenMP reads its variables once, when it is loaded, so call this before the import of torch and scikit-learn.
    Variables that the user has set stay. If ``OMP_WAIT_POLICY`` is among them, no other is set: it would be overridden.

    >>> wait_briefly(mine := {"GOMP_SPINCOUNT": "7"})
    >>> mine
    {'GOMP_SPINCOUNT': '7', 'KMP_BLOCKTIME': '0'}
    >>> wait_briefly(mine := {"OMP_WAIT_POLICY": "active"})
    >>> mine
    {'OMP_WAIT_POLICY': 'active'}
    """
    if "OMP_WAIT_POLICY" not in environment:
        for name, value in WAITING.items():
            environment.setdefault(name, value)
