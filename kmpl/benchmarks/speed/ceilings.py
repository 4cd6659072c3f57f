"""The limits of the machine: speed of matrix product and convolution, bandwidth of the memory."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

_MATRIX_SIDE = 2_048
_COPIED_FLOATS = 64 * 2**20
_BATCH_IMAGES = 64  # of the convolution
_CHANNELS = 64
_IMAGE_SIDE = 32  # pixels


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a piece of work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def matrix_product(device: torch.device) -> float:
    """Return GFLOP/s of a float32 matrix product."""
    a = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE, device=device)
    return 2 * _MATRIX_SIDE**3 / seconds(lambda: float((a @ a)[0, 0])) / 1e9


def convolution(device: torch.device, precision: torch.dtype = torch.float32) -> float:
    """Return GFLOP/s of a 3 × 3 convolution, 64 → 64 channels at 32 × 32, forward and backward."""
    layer = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    layer = layer.to(device).to(memory_format=torch.channels_last)
    images = torch.ones(_BATCH_IMAGES, _CHANNELS, _IMAGE_SIDE, _IMAGE_SIDE, device=device).to(
        memory_format=torch.channels_last
    )
    images.requires_grad_()

    def work() -> float:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            out = layer(images)
        out.backward(images.detach().to(out.dtype))
        return float(layer.weight.grad[0, 0, 0, 0]) if layer.weight.grad is not None else 0.0

    work()  # the first call chooses the algorithm
    flops = 3 * 2 * _BATCH_IMAGES * _IMAGE_SIDE**2 * 9 * _CHANNELS**2
    return flops / seconds(work) / 1e9


def bandwidth(device: torch.device) -> float:
    """Return GB/s of a copy, bytes read and written."""
    source = torch.ones(_COPIED_FLOATS, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * _COPIED_FLOATS / seconds(lambda: (target.copy_(source), float(target[0]))) / 1e9


CEILINGS: dict[str, tuple[Callable[[torch.device], float], str]] = {
    "matrix product, float32": (matrix_product, "GFLOP/s"),
    "convolution 3 × 3, 64 → 64, forward and backward, float32": (convolution, "GFLOP/s"),
    "the same in bfloat16": (partial(convolution, precision=torch.bfloat16), "GFLOP/s"),
    "memory, copied": (bandwidth, "GB/s"),
}
