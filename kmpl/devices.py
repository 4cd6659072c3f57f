"""Where numbers are computed."""

import os

import torch

from kmpl.errors import UserError


def pick_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, MPS or CPU, in this order.

    Raises:
        UserError: the machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in there.items() if present))
    if not there[name]:
        raise UserError(f"device {name}: this machine has none; use auto or cpu")
    return torch.device(name)


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(threads: int) -> None:
    """Compute on so many CPU threads; 0 = as many as this process may use."""
    torch.set_num_threads(threads or cores())
