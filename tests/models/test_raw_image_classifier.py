"""A network as others use it: raw images in, the same probabilities out as the method itself computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kmpl.datasets import registry
from kmpl.images.transforms import resize, to_float
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.models.network import Network
from kmpl.models.raw_image_classifier import RawImageClassifier


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """(12, 28, 28) uint8, as the data set stores them."""
    return registry.read("MNIST", True).images[:12, 0]


@pytest.fixture(scope="module")
def colours(digits: Tensor) -> Tensor:
    """(4, 20, 27, 3) uint8: three digits each as red, green and blue, not square."""
    return digits.view(4, 3, 28, 28)[:, :, 4:24, :27].permute(0, 2, 3, 1).contiguous()


def network_for(channels: int) -> Network:
    """Return a network whose batch norm has seen something, so that its outputs differ from image to image."""
    network = networks.build("cnn", channels=channels, n_classes=10, seed=0)
    draws = torch.Generator().manual_seed(0)
    for _ in range(20):
        network(torch.rand(16, channels, 28, 28, generator=draws).pow(4))
    return network.eval()


@pytest.mark.parametrize("size", [0, 28, 32])
def test_grey_images_get_the_networks_probabilities_of_the_resized_images(digits: Tensor, size: int) -> None:
    network = network_for(1)
    with torch.inference_mode():
        expected = network(resize(to_float(digits[:, None]), size)).softmax(dim=1)
        served = RawImageClassifier(network, size)(digits)
    assert served.shape == (12, 10)
    torch.testing.assert_close(served, expected, atol=1e-6, rtol=1e-4)
    assert served.std(dim=0).max() > 1e-4  # images are told apart, or the comparison would say nothing


@pytest.mark.parametrize("size", [0, 32])
def test_colour_images_get_the_networks_probabilities_of_the_resized_images(colours: Tensor, size: int) -> None:
    network = network_for(3)
    with torch.inference_mode():
        expected = network(resize(to_float(colours.permute(0, 3, 1, 2)), size)).softmax(dim=1)
        served = RawImageClassifier(network, size)(colours)
    torch.testing.assert_close(served, expected, atol=1e-6, rtol=1e-4)


def test_images_of_the_pools_own_size_get_what_predict_gives(digits: Tensor) -> None:
    network = network_for(1)
    with torch.inference_mode():
        served = RawImageClassifier(network, 28)(digits)
    np.testing.assert_allclose(served.numpy(), embedding.predict(network, digits[:, None]), atol=1e-6, rtol=1e-4)


def test_an_image_is_served_alike_alone_and_in_company(digits: Tensor) -> None:
    model = RawImageClassifier(network_for(1), 32)
    with torch.inference_mode():
        alone = torch.cat([model(image[None]) for image in digits])
        torch.testing.assert_close(alone, model(digits), atol=1e-6, rtol=1e-4)


def test_the_served_network_is_a_copy_out_of_training(digits: Tensor) -> None:
    network = network_for(1)
    with torch.inference_mode():
        expected = network(to_float(digits[:, None])).softmax(dim=1)
    model = RawImageClassifier(network.train(), 28)
    with torch.inference_mode():
        before = model(digits)
        for parameter in network.parameters():
            parameter.zero_()
        after = model(digits)
    assert network.training
    assert torch.equal(before, after)
    torch.testing.assert_close(before, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_exported_model_serves_batches_of_any_length_alike(
    tmp_path: Path, digits: Tensor, colours: Tensor, channels: int
) -> None:
    images = digits if channels == 1 else colours
    model = RawImageClassifier(network_for(channels), 32)
    program = torch.export.export(model, (images[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    with torch.inference_mode():
        for n in (1, 3, len(images)):
            torch.testing.assert_close(loaded(images[:n]), model(images[:n]), atol=1e-6, rtol=1e-4)


def test_a_network_trained_in_bfloat16_is_handed_on_in_float32(digits: Tensor) -> None:
    network = network_for(1)
    exact = RawImageClassifier(network, size=28)(digits)
    network.precision = torch.bfloat16
    assert torch.equal(RawImageClassifier(network, size=28)(digits), exact)
    assert network.precision == torch.bfloat16, "the network itself is left as it was"
    assert not torch.equal(network(to_float(digits[:, None])).softmax(dim=1), exact)
