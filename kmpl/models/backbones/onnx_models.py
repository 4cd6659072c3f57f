"""A network in an ONNX file, run by onnxruntime: ``onnx:FILE``.

Its input is (batch, 3, S, S), RGB, normalised by ImageNet's mean and deviation; its output is features (batch, D), or
maps (batch, D, height, width), whose mean is taken.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kmpl.errors import FileError, SettingError, UserError
from kmpl.models.backbones.backbone import Backbone, Request
from kmpl.runtime.files import sha256

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class _Session(nn.Module):
    """onnxruntime's session; it computes on the CPU, in float32."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session
        self.input_name = session.get_inputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        numbers = images.float().cpu().numpy()
        return torch.from_numpy(self.session.run(None, {self.input_name: numbers})[0]).to(images.device)


def open_onnx(request: Request) -> Backbone:
    """Return the network of an ONNX file.

    Raises:
        UserError: onnxruntime is not installed.
        SettingError: weights are given apart from the file.
        FileError: no such file, no ONNX, or its input is no square colour picture of a fixed side.
    """
    if request.weights:
        raise SettingError("backbone_weights", request.weights, "an ONNX file has its own", "none")
    runtime = _runtime()
    path = Path(request.name).expanduser()
    if not path.is_file():
        raise FileError(f"backbone onnx:{path}: there is no such file", path)
    try:
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise FileError(f"{path} is no model that onnxruntime can read: {str(error).splitlines()[0]}", path) from error
    shape = session.get_inputs()[0].shape
    if (
        len(session.get_inputs()) != 1
        or len(shape) != 4
        or shape[1] != 3
        or not isinstance(shape[2], int)
        or shape[2] != shape[3]
    ):
        raise FileError(f"{path}: its input is {shape}; a backbone takes (batch, 3, side, side) of a fixed side", path)
    network = _Session(session)
    try:
        dimension = network(torch.zeros(2, *shape[1:])).shape[1]
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"{path} does not take two pictures at once: {reason}", path) from error
    backbone = Backbone(
        network,
        name=f"onnx:{path}",
        licence="as its file's",
        size=int(shape[2]),
        dimension=dimension,
        mean=_IMAGENET_MEAN,
        deviation=_IMAGENET_DEVIATION,
    )
    backbone.file_digest = sha256(path)
    return backbone


def _runtime() -> ModuleType:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError("backbones onnx:FILE need the package onnxruntime: pip install 'kmpl[onnx]'") from error
