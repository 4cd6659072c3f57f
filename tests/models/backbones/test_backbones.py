"""Backbones on real photographs: what they give, what they say of themselves, and what is missing in one line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from documents import ROOT
from photographs import CLASSES, write_photographs
from PIL import Image
from safetensors.torch import save_file

from kmpl.config.backbones import BACKBONES, DEFAULT_BACKBONE, kind_of
from kmpl.errors import UserError
from kmpl.models.backbones import efficientnet_lite
from kmpl.models.backbones.backbone import ARCHITECTURE_ONLY, Backbone
from kmpl.models.backbones.embedding import embed_batch
from kmpl.models.backbones.registry import default_is_installed, open_backbone
from kmpl.store.kept_results import weights_digest


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.Tensor, np.ndarray]:
    """Three windows of each photograph, (18, 160, 160, 3) uint8, and their classes."""
    root = tmp_path_factory.mktemp("photographs")
    truth = write_photographs(root, per_class=3, suffix=".png")
    pixels = [np.asarray(Image.open(root / file)) for file in truth]
    return torch.from_numpy(np.stack(pixels)), np.array([CLASSES.index(name) for name in truth.values()])


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return open_backbone(DEFAULT_BACKBONE)


def test_windows_of_one_photograph_are_nearest_to_each_other(
    lite: Backbone, photographs: tuple[torch.Tensor, np.ndarray]
) -> None:
    images, classes = photographs
    features = embed_batch(lite, images, "cpu", "float32")
    assert features.shape == (18, 1_280) == (18, lite.dimension)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -1)
    assert (classes[near.argmax(axis=1)] == classes).mean() >= 15 / 18


def test_each_backbone_is_given_what_it_learnt_with_as_the_page_says(lite: Backbone) -> None:
    """EfficientNet-Lite learnt from (x − 127) / 128: ImageNet's mean and deviation cost 2 to 8 points on pictures."""
    page = (ROOT / "docs" / "reference" / "backbones.md").read_text(encoding="utf-8")
    rows = {cells[1].strip("` "): cells for line in page.splitlines() if len(cells := line.split("|")) == 7}
    assert {kind_of(name) for name in rows if name not in ("backbone", "---")} == {*BACKBONES, "features"}
    x = torch.tensor([0.0, 127.0, 255.0])
    for channel in range(3):
        given = (x / 255 - lite.mean.flatten()[channel]) / lite.deviation.flatten()[channel]
        torch.testing.assert_close(given, (x - 127) / 128)
    assert rows[DEFAULT_BACKBONE][2:5] == [f" {lite.size} ", " (x − 127) / 128 ", f" {lite.dimension:,} "]


def test_folded_batch_norms_give_the_same_features(
    monkeypatch: pytest.MonkeyPatch, lite: Backbone, photographs: tuple[torch.Tensor, np.ndarray]
) -> None:
    monkeypatch.setattr(efficientnet_lite, "_fold_batch_norms", lambda _: None)
    plain = embed_batch(open_backbone(DEFAULT_BACKBONE), photographs[0], "cpu", "float32")
    np.testing.assert_allclose(embed_batch(lite, photographs[0], "cpu", "float32"), plain, atol=2e-4)


def test_an_image_alone_and_among_others_has_the_same_features(
    lite: Backbone, photographs: tuple[torch.Tensor, np.ndarray]
) -> None:
    images, _ = photographs
    together = embed_batch(lite, images, "cpu", "float32")
    np.testing.assert_allclose(embed_batch(lite, images[4:5], "cpu", "float32"), together[4:5], atol=1e-4)


def test_a_backbone_stays_in_evaluation_mode_and_needs_no_gradient(lite: Backbone) -> None:
    lite.train()
    assert not any(module.training for module in lite.modules())
    assert not any(parameter.requires_grad for parameter in lite.parameters())


def test_weights_decide_the_digest(lite: Backbone) -> None:
    assert weights_digest(lite) == weights_digest(open_backbone(DEFAULT_BACKBONE))
    assert weights_digest(lite) != weights_digest(open_backbone(DEFAULT_BACKBONE, ARCHITECTURE_ONLY))


def test_each_entry_is_opened_by_its_kind() -> None:
    assert {kind_of(f"{name}:x") for name in BACKBONES} == set(BACKBONES)
    assert default_is_installed()


def test_torchvisions_weights_come_from_a_file(tmp_path: Path, photographs: tuple[torch.Tensor, np.ndarray]) -> None:
    network = torchvision.models.resnet18(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    backbone = open_backbone("torchvision:resnet18", str(tmp_path / "weights.pth"))
    network.fc = torch.nn.Identity()
    side = torch.nn.functional.interpolate(
        photographs[0].permute(0, 3, 1, 2) / 255, (224, 224), mode="bilinear", antialias=True, align_corners=False
    )
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        expected = network((side - mean) / deviation).numpy()
    np.testing.assert_allclose(embed_batch(backbone, photographs[0], "cpu", "float32"), expected, atol=1e-3)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timms_weights_come_from_a_file(
    tmp_path: Path, photographs: tuple[torch.Tensor, np.ndarray], suffix: str
) -> None:
    network: Any = timm.create_model("resnet10t", pretrained=False).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    backbone = open_backbone("timm:resnet10t", str(path))
    assert (backbone.licence, backbone.size, backbone.dimension) == ("apache-2.0", 176, 512)
    with torch.inference_mode():
        expected = network.forward_head(
            network.forward_features(backbone_input(backbone, photographs[0])), True
        ).numpy()
    np.testing.assert_allclose(embed_batch(backbone, photographs[0], "cpu", "float32"), expected, atol=1e-3)


def backbone_input(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    side = torch.nn.functional.interpolate(
        images.permute(0, 3, 1, 2) / 255,
        (backbone.size, backbone.size),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return (side - backbone.mean) / backbone.deviation


def test_an_onnx_file_gives_the_features_that_it_was_made_from(
    tmp_path: Path, photographs: tuple[torch.Tensor, np.ndarray]
) -> None:
    network = torchvision.models.resnet18(weights=None).eval()
    network.fc = torch.nn.Identity()
    example = torch.zeros(2, 3, 64, 64)
    program = torch.onnx.export(
        network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, verbose=False
    )
    assert program is not None
    program.save(tmp_path / "network.onnx")
    backbone = open_backbone(f"onnx:{tmp_path / 'network.onnx'}")
    assert (backbone.size, backbone.dimension, backbone.is_exportable) == (64, 512, False)
    with torch.inference_mode():
        expected = network(backbone_input(backbone, photographs[0])).numpy()
    np.testing.assert_allclose(embed_batch(backbone, photographs[0], "cpu", "float32"), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("efficientnet-lite1", "", "unknown backbone 'efficientnet-lite1'; did you mean 'efficientnet-lite0'?"),
        ("efficientnet-lite0:x", "", "it has no variants; give efficientnet-lite0"),
        ("efficientnet-lite0", "mine.pth", "backbone_weights mine.pth: efficientnet-lite0 has its own; give none"),
        ("torchvision:resnet17", "", "unknown model 'resnet17'; did you mean 'resnet18'?"),
        ("torchvision:resnet18", "", "give --backbone-weights FILE, or --backbone-weights download"),
        ("torchvision:resnet18", "absent.pth", "are not at absent.pth"),
        ("timm:resnet10x", "", "unknown model 'resnet10x'; did you mean"),
        ("timm:resnet10t.nonsense", "", "unknown weights 'resnet10t.nonsense'"),
        ("torchvision:squeezenet1_1", "architecture only", "its classifier has no linear layer to leave out"),
        ("timm:resnet10t", "", "give --backbone-weights FILE, or --backbone-weights download"),
        ("timm:resnet10t", "absent.pth", "are not at absent.pth"),
        ("onnx:absent.onnx", "", "backbone onnx:absent.onnx: there is no such file"),
    ],
)
def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, weights: str, words: str
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))  # a cache that holds nothing
    with pytest.raises(UserError) as error:
        open_backbone(name, weights)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("package", "name", "command"),
    [
        ("efficientnet_lite_pytorch", DEFAULT_BACKBONE, "pip install 'kmpl[pictures]'"),
        ("timm", "timm:resnet10t", "pip install timm"),
        ("onnxruntime", "onnx:x.onnx", "pip install 'kmpl[onnx]'"),
    ],
)
def test_a_missing_package_is_one_line_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what Python itself takes for: there is none
    with pytest.raises(UserError) as error:
        open_backbone(name)
    assert command in str(error.value)


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet10t"])
def test_weights_of_another_network_or_none_at_all_are_refused(tmp_path: Path, name: str) -> None:
    other = tmp_path / "other.pth"
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), other)
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    for path in (other, text):
        with pytest.raises(UserError) as error:
            open_backbone(name, str(path))
        assert "\n" not in str(error.value)
