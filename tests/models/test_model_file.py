"""A network's file says itself what it is, and gives the same bits as the network it was written from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_files import write_png
from safetensors import safe_open
from tiny_networks import CLASSES, network_for

from kmpl.errors import UserError
from kmpl.images.conversion import Conversion
from kmpl.models import registry as networks
from kmpl.models.model_file import Description, read_description, read_model, write_model
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.models.weights import save_network


@pytest.mark.parametrize(("shape", "size"), [((1, 28, 28), 28), ((1, 20, 31), 0), ((3, 40, 33), 32)])
def test_a_file_gives_the_networks_own_bits(shape: tuple[int, int, int], size: int, tmp_path: Path) -> None:
    network, path = network_for(shape[0]), tmp_path / "model.safetensors"
    about = Description(network="cnn", classes=CLASSES, raw_shape=shape, size=size)
    write_model(network, about, path)
    assert read_description(path) == about
    model = read_model(path)
    assert (model.classes, model.raw_shape) == (CLASSES, shape)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape[1:], shape[0]), dtype=np.uint8)
    images = images[..., 0] if shape[0] == 1 else images
    with torch.inference_mode():
        expected = RawImageClassifier(network, size)(torch.from_numpy(images)).numpy()
    found = model.classifier.classify(images)
    np.testing.assert_array_equal(found, expected)
    assert found.std(axis=0).max() > 1e-4


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    about = Description(network="cnn", classes=CLASSES, raw_shape=(1, 28, 28), size=28)
    write_model(networks.build("cnn", channels=1, n_classes=3, seed=0), about, path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_model(path)
    return str(caught.value)


def test_files_that_are_no_models_are_one_line(good: Path, tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.safetensors")
    whole = good.read_bytes()
    good.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(good)
    good.write_bytes(b"\xff" * 200)
    assert "cannot be read" in refused(good)
    save_network(networks.build("cnn", channels=1, n_classes=3, seed=0), good)
    assert "does not say which network and classes it holds" in refused(good)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"network": "cn"}, "unknown network 'cn'; did you mean 'cnn'?"),
        ({"classes": []}, "does not describe a model of kmpl"),
        ({"classes": ["a", "b"]}, "weights of another network"),
        ({"raw_shape": [3, 28, 28]}, "weights of another network"),
        ({"raw_shape": [1, 10**9, 10**9]}, "does not describe a model of kmpl"),
        ({"size": -1}, "does not describe a model of kmpl"),
        ({"ranges": {"16-bit": [5, 5]}}, "does not describe a model of kmpl"),
        ({"more": 1}, "does not describe a model of kmpl"),
        (None, "does not describe a model of kmpl"),
    ],
)
def test_headers_that_do_not_fit_are_one_line(change: dict[str, object] | None, line: str, tmp_path: Path) -> None:
    about = {"network": "cnn", "classes": CLASSES, "raw_shape": (1, 28, 28), "size": 28} | (change or {})
    text = "no JSON" if change is None else json.dumps(about)
    save_network(networks.build("cnn", channels=1, n_classes=3, seed=0), tmp_path / "model.safetensors", {"kmpl": text})
    assert line in refused(tmp_path / "model.safetensors")


TEN = {"16-bit": (0.0, 1023.0)}


def test_the_range_of_deep_pictures_is_kept_and_files_without_one_stay_as_they_were(tmp_path: Path) -> None:
    network, path = network_for(1), tmp_path / "model.safetensors"
    about = Description(network="cnn", classes=CLASSES, raw_shape=(1, 28, 28), size=28, ranges=TEN, ground=0)
    write_model(network, about, path)
    values = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28)
    deep = write_png(tmp_path / "a.png", values)
    model = read_model(path)
    assert model.conversion == Conversion(TEN, ground=0)
    np.testing.assert_array_equal(model.classifier.read(deep), (values * (255 / 1023)).round())
    assert model.classifier.unknown == set()
    write_model(network, about.model_copy(update={"ranges": {}, "ground": None}), path)
    assert '"ranges"' not in safe_open(path, framework="pt").metadata()["kmpl"]
    without = read_model(path).classifier
    assert without.read(deep).max() == 3
    assert without.unknown == {"16-bit"}
