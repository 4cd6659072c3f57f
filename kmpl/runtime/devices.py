"""Devices, precision and threads of the computation."""

import ctypes
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from kmpl.errors import SettingError
from kmpl.runtime.cores import cores

N = TypeVar("N", bound=nn.Module)


def pick_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA, MPS or CPU, in this order.

    Raises:
        SettingError: the machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    if not available[name]:
        raise SettingError("device", name, "this machine has none; use auto or cpu")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number type of convolutions; ``auto`` takes bfloat16 if the device has instructions for it.

    Without such instructions bfloat16 is emulated, and slower than float32.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test)


def processor() -> str:
    """Return the CPU's vector instructions and whether it has bfloat16: they decide the last bits of its results."""
    return f"{torch.backends.cpu.get_cpu_capability()}, {'with' if _cpu_has_bfloat16() else 'no'} bfloat16"


def to_device(network: N, device: str, precision: str) -> N:
    """Return a network on its device, with the number type of its convolutions set.

    Raises:
        SettingError: the machine has no such device.
    """
    target = pick_device(device)
    network.precision = pick_precision(precision, target)  # type: ignore[assignment]
    return network.to(target)


def use_threads(threads: int) -> None:
    """Set the number of CPU threads; 0 = as many as this process may use."""
    torch.set_num_threads(threads or cores())
    _keep_memory()


@cache
def _keep_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones; other C libraries are left as they are.

    By default glibc returns large blocks to the system at once, and each step of a training pays for fresh pages again:
    up to a quarter of its time. Source: mallopt(3); the names of its constants are not in the library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    arena_max, mmap_threshold, trim_threshold = -8, -3, -1
    mallopt(arena_max, 1)  # the thread of the backward pass would otherwise keep memory of its own
    mallopt(mmap_threshold, 32 << 20)  # the largest value that it accepts
    mallopt(trim_threshold, 2**31 - 1)
