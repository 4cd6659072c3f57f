"""What onnxruntime says of raw images is what PyTorch says, or there is no file."""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_networks import CLASSES, network_for

from kmpl.errors import UserError
from kmpl.images.conversion import Conversion
from kmpl.models import onnx_file
from kmpl.models.model_file import TrainedModel
from kmpl.models.onnx_file import read_onnx, write_onnx
from kmpl.models.raw_image_classifier import RawImageClassifier

CONVERSION = Conversion({"16-bit": (0.0, 1023.0)}, ground=0)


def trained(shape: tuple[int, int, int], size: int) -> TrainedModel:
    return TrainedModel(
        module=RawImageClassifier(network_for(shape[0]), size), classes=CLASSES, raw_shape=shape, conversion=CONVERSION
    )


@pytest.fixture(scope="module")
def grey() -> TrainedModel:
    """A model whose pooling is none that ONNX knows: 20 pixels are 3 maps' pixels a side, of which it makes 4."""
    return trained((1, 28, 28), 20)


@pytest.fixture(scope="module")
def exported(grey: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    assert write_onnx(grey, folder / "model.onnx") < 1e-5
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]  # weights inside
    return folder / "model.onnx"


def same(path: Path, model: TrainedModel) -> None:
    """Compare a file with the model it was written from on images and batches that the export never saw."""
    found = read_onnx(path)
    assert (found.classes, found.raw_shape, found.conversion) == (model.classes, model.raw_shape, CONVERSION)
    channels, height, width = model.raw_shape
    images = np.random.default_rng(5).integers(0, 256, (70, height, width, channels), dtype=np.uint8)
    images = images[..., 0] if channels == 1 else images
    for n in (1, 2, 70):
        expected = model.classifier.classify(images[:n])
        np.testing.assert_allclose(found.classify(images[:n]), expected, atol=1e-6)
    assert expected.std(axis=0).max() > 1e-4


def test_batches_of_any_length_get_pytorchs_probabilities(grey: TrainedModel, exported: Path, tmp_path: Path) -> None:
    same(exported, grey)
    (given,) = onnx.load(exported).graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    colour = trained((3, 40, 33), 32)
    write_onnx(colour, tmp_path / "colour.onnx")
    same(tmp_path / "colour.onnx", colour)
    assert axes(exported) == {"images": ["batch", 28, 28], "probabilities": ["batch", len(CLASSES)]}
    assert axes(tmp_path / "colour.onnx") == {
        "images": ["batch", 40, 33, 3],
        "probabilities": ["batch", len(CLASSES)],
    }


def test_the_example_of_an_export_has_two_images_or_more(
    grey: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an example of one image PyTorch 2.14.1 fixes the batch, with ``Dim.AUTO`` without an error."""
    examples: list[int] = []

    def export(_: torch.nn.Module, example: tuple[torch.Tensor], **__: object) -> None:
        examples.append(len(example[0]))
        raise UserError("seen")

    monkeypatch.setattr(torch.export, "export", export)
    with pytest.raises(UserError, match="seen"):
        write_onnx(grey, tmp_path / "model.onnx")
    assert min(examples) >= 2


def axes(path: Path) -> dict[str, list[str | int]]:
    """Return the axes of what goes in and what comes out: a name where the length is free; no other name is there."""
    graph = onnx.load(path).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output, *graph.value_info)
    }
    assert {axis for shape in shapes.values() for axis in shape if isinstance(axis, str)} == {"batch"}
    return {value.name: shapes[value.name] for value in (*graph.input, *graph.output)}


def test_a_model_that_was_exported_already_can_be_exported(grey: TrainedModel, tmp_path: Path) -> None:
    example = torch.zeros(2, 28, 28, dtype=torch.uint8)
    program = torch.export.export(grey.module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = TrainedModel(
        module=torch.export.load(tmp_path / "model.pt2").module(),
        classes=CLASSES,
        raw_shape=(1, 28, 28),
        conversion=CONVERSION,
    )
    write_onnx(loaded, tmp_path / "model.onnx")
    same(tmp_path / "model.onnx", grey)
    assert axes(tmp_path / "model.onnx")["images"] == ["batch", 28, 28]


def test_a_file_that_differs_is_not_written(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "_export", lambda _, draft: shutil.copyfile(exported, draft))
    other, path = trained((1, 28, 28), 28), tmp_path / "model.onnx"
    with pytest.raises(UserError, match=r"was not written: .* differ from PyTorch's by \d"):
        write_onnx(other, path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("what was there")
    with pytest.raises(UserError):
        write_onnx(other, path)
    assert path.read_text() == "what was there"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_the_missing_extra_is_named(
    missing: str, grey: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=rf"needs the package {missing}; install the extra: pip install 'kmpl\[onnx\]'"):
        write_onnx(grey, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_onnx_cannot_express_is_refused_in_one_line(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.linalg.matrix_exp(images[:, :2, :2].float())[:, 0]

    with pytest.raises(UserError, match="PyTorch cannot write this network as ONNX: ") as caught:
        write_onnx(TrainedModel(module=Odd(), classes=("a", "b"), raw_shape=(1, 28, 28)), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_models_are_one_line(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(UserError, match="there is no such file"):
        read_onnx(path)
    path.write_bytes(b"no ONNX")
    with pytest.raises(UserError, match="is no model that onnxruntime can read") as caught:
        read_onnx(path)
    assert "\n" not in str(caught.value)
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, path)
    with pytest.raises(UserError, match="does not name its classes"):
        read_onnx(path)
