"""Seeds: one for each purpose, all derived from the experiment's seed."""

import hashlib

import torch


def derive(seed: int, *purpose: object) -> int:
    """Return a seed in [0, 2³¹) derived from ``seed`` and the words of ``purpose``, the same on every machine.

    >>> derive(0, "weights") == derive(0, "weights"), derive(0, "weights") == derive(0, "batches")
    (True, False)
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**31


def generator(seed: int, *purpose: object) -> torch.Generator:
    """Return a CPU generator seeded by ``derive``."""
    return torch.Generator().manual_seed(derive(seed, *purpose))
