"""Trace a network's graph once: the next network of the same structure puts its own weights into that graph.

MLflow's ``save_model`` has PyTorch trace each model anew, as if nobody had seen one like it. The models of an
experiment differ in their weights alone.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

_KEPT: dict[str, ExportedProgram] = {}
"""The last program, by the structure that it was traced from: one, so that no more weights than these stay in memory.
"""


@contextlib.contextmanager
def export_once() -> Iterator[None]:
    """Let ``torch.export.export`` take the graph of the last model where only weights differ.

    What it gives has the module's probabilities to the bit: they are computed both ways for images of noise, and a
    module for which they differ is traced.
    """
    trace = torch.export.export

    def export(module: nn.Module, inputs: Sequence[Tensor], **how: Any) -> ExportedProgram:
        structure = f"{_structure(module)} {[(tensor.shape, tensor.dtype) for tensor in inputs]} {how}"
        program = _KEPT.get(structure)
        if program is None or not _put_weights(program, module, inputs):
            program = trace(module, tuple(inputs), **how)
            _KEPT.clear()
            _KEPT[structure] = program
        return program

    torch.export.export = export  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.export.export = trace


def _structure(module: nn.Module) -> str:
    """Return all that a graph may depend on, as text: classes, attributes, shapes. The values of weights are not in it.

    An attribute whose text names its address in memory is like no other, so its module is always traced.
    """
    weights = ("_parameters", "_buffers", "_modules")
    parts = [
        (name, type(part), {key: value for key, value in vars(part).items() if key not in weights})
        for name, part in module.named_modules()
    ]
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return f"{parts} {[(name, tensor.shape, tensor.dtype, tensor.stride()) for name, tensor in tensors]}"


def _put_weights(program: ExportedProgram, module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Replace a program's weights by a module's; say whether it now computes what the module computes."""
    program.state_dict.update(module.state_dict(keep_vars=True))
    program.constants.update({name: value for name, value in module.named_buffers() if name in program.constants})
    draws = torch.Generator().manual_seed(0)
    noise = [torch.randint(0, 256, tensor.shape, dtype=tensor.dtype, generator=draws) for tensor in inputs]
    with torch.inference_mode():
        return bool(torch.equal(program.module()(*noise), module(*noise)))
