"""Models as ONNX: raw images in, probabilities out, in any runtime; such files are read again without PyTorch."""

import contextlib
import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from kmpl.errors import FileError, UserError
from kmpl.images.conversion import Conversion
from kmpl.models.classifier import Classifier, largest_difference, probes

if TYPE_CHECKING:
    from torch import Tensor

    from kmpl.models.model_file import TrainedModel

TOLERANCE = 1e-4
"""Largest difference of a probability between PyTorch and ONNX that is accepted."""
_CLASSES = "kmpl.classes"  # the entry of the file's metadata that names the classes, as JSON
_CONVERSION = "kmpl."  # before the name of each entry of a conversion's record, as JSON


def read_onnx(path: Path) -> Classifier:
    """Return the model in a file of ``write_onnx``, run by onnxruntime.

    Raises:
        UserError: no such file, no ONNX, not written here; or the extra is not installed.
    """
    runtime = _needed("onnxruntime")
    if not path.is_file():
        raise FileError(f"{path}: there is no such file", path)
    try:
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map
        classes = tuple(map(str, json.loads(about[_CLASSES])))
        texts = {name.removeprefix(_CONVERSION): text for name, text in about.items() if name.startswith(_CONVERSION)}
        conversion = Conversion.from_record({name: json.loads(text) for name, text in texts.items()})
        (image_input,) = session.get_inputs()
        _, height, width, *colour = image_input.shape
        raw_shape = (colour[0] if colour else 1, int(height), int(width))
    except KeyError as error:
        raise FileError(f"{path} does not name its classes; `kmpl export --onnx` writes what does", path) from error
    except Exception as error:  # onnxruntime's errors have no common class
        raise FileError(f"{path} is no model that onnxruntime can read: {str(error).splitlines()[0]}", path) from error
    classify = lambda images: np.asarray(session.run(None, {image_input.name: images})[0])  # noqa: E731
    return Classifier(classes=classes, raw_shape=raw_shape, classify=classify, conversion=conversion)


def write_onnx(model: "TrainedModel", path: Path) -> float:
    """Write a model as ONNX, the batch being of any size; return by how much its probabilities differ from PyTorch's.

    Raises:
        UserError: they differ by more than ``TOLERANCE``, the extra is not installed, or the file system refuses; what
            was there stays as it was.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        _needed(name)
    from kmpl.runtime.files import whole_file

    with whole_file(path) as draft:
        _export(model, draft)
        difference = largest_difference(model.classifier, read_onnx(draft))
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path} was not written: in onnxruntime its probabilities differ from PyTorch's by {difference:.1e}, "
                f"more than {TOLERANCE:.0e}"
            )
    return difference


def _export(model: "TrainedModel", path: Path) -> None:
    import torch

    example = torch.from_numpy(probes(model.raw_shape, 1))
    unknown = torch.ops.aten.adaptive_max_pool2d.default  # to ONNX
    with _quiet():
        program = torch.export.export(model.module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        if any(node.target == unknown for node in program.graph.nodes):  # a pass over the graph takes a second
            program = program.run_decompositions({unknown: _adaptive_max_pool})
        try:
            written = torch.onnx.export(
                program,
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes=({0: "batch"},),  # of a program it is only the name, which the program itself calls s34
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(f"PyTorch cannot write this network as ONNX: {str(error).splitlines()[0]}") from error
    assert written is not None, "dynamo gives a program"
    written.model.metadata_props[_CLASSES] = json.dumps(model.classes)
    for name, value in model.conversion.record().items():
        written.model.metadata_props[_CONVERSION + name] = json.dumps(value)
    written.save(path)


def _adaptive_max_pool(maps: "Tensor", size: list[int]) -> "tuple[Tensor, Tensor]":
    """Do what ``adaptive_max_pool2d`` does, which ONNX lacks; the indices, which nobody asks for, are 0."""
    import torch

    for dimension, cells in ((-2, size[0]), (-1, size[-1])):
        side = maps.shape[dimension]
        windows = [(i * side // cells, -(-(i + 1) * side // cells)) for i in range(cells)]
        parts = [maps.narrow(dimension, low, high - low).amax(dimension) for low, high in windows]
        maps = torch.stack(parts, dimension)
    return maps, torch.zeros_like(maps, dtype=torch.int64)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about itself off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _needed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"ONNX needs the package {name}; install the extra: pip install 'kmpl[onnx]'") from error
