"""How threads that compute together wait for each other.

By itself OpenMP lets a thread that waits spin for milliseconds. Beside another busy process, whose core its partner
waits for, that burns the very time the partner needs, and training becomes several times slower. A short spin bridges
the gap between two operations; who has to wait longer sleeps, and leaves the core to others.
"""

import os
from collections.abc import MutableMapping

WAITING = {
    "GOMP_SPINCOUNT": "1500",  # libgomp: turns of a loop, some 0.04 ms; its own choice is 300,000
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's: ms; their own choice is 200
}
"""What is set for each OpenMP: a library heeds only its own variable."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have threads spin briefly before they sleep, in this process and in those that it starts.

    OpenMP reads its variables once, when it is loaded: so this comes before torch and scikit-learn. What is set already
    wins: each variable over its own, and ``OMP_WAIT_POLICY`` over all, for else ours would win over it.

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
