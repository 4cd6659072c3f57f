"""Networks: the notebook's architecture, and what every network promises."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vgg

from kmpl.config.networks import NETWORKS
from kmpl.datasets import registry
from kmpl.errors import UserError
from kmpl.images.transforms import resize, to_float
from kmpl.models import registry as networks
from kmpl.models.network import Network


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return to_float(registry.read("MNIST", True).images[:6])


@pytest.fixture(scope="module")
def vgg16() -> Network:
    return networks.build("vgg16", channels=1, n_classes=10, seed=0).eval()


def of(kind: type[nn.Module], network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_vgg16_has_the_notebooks_thirteen_convolutions_each_with_batch_norm_and_relu(vgg16: Network) -> None:
    convolutions = [m for m in vgg16.modules() if isinstance(m, nn.Conv2d)]
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [c.out_channels for c in convolutions] == widths
    assert [c.in_channels for c in convolutions] == [1, *widths[:-1]]
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {((3, 3), (1, 1), (1, 1))}
    assert [m.num_features for m in vgg16.modules() if isinstance(m, nn.BatchNorm2d)] == widths
    assert len(of(nn.ReLU, vgg16.extractor)) == 13
    assert [m.kernel_size for m in vgg16.modules() if isinstance(m, nn.MaxPool2d)] == [2] * 5


def test_vgg16_has_the_notebooks_head(vgg16: Network) -> None:
    kinds = [type(m) for m in vgg16.head.children()]
    assert kinds == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Linear]
    assert [m.p for m in vgg16.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    sizes = [(m.in_features, m.out_features) for m in vgg16.head.children() if isinstance(m, nn.Linear)]
    assert sizes == [(512, 4096), (4096, 4096), (4096, 10)]


def test_vgg16_has_as_many_parameters_as_the_notebooks(vgg16: Network) -> None:
    assert parameters(vgg16) == 33_645_514


def test_vgg16_embeds_as_torchvisions_configuration_d_with_the_same_weights() -> None:
    ours = networks.build("vgg16", channels=3, n_classes=10, seed=0).eval()
    theirs = vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    theirs.load_state_dict(ours.extractor.state_dict())
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours.embed(images), theirs(images).flatten(1), atol=1e-6, rtol=1e-4)


def test_vgg16_resizes_other_images_to_its_own_size(vgg16: Network, digits: Tensor) -> None:
    with torch.inference_mode():
        features = vgg16.embed(digits)
        assert features.shape == (6, 512)
        assert torch.equal(features, vgg16.embed(resize(digits, 32)))


def test_dropout_acts_in_training_only(vgg16: Network) -> None:
    features = torch.rand(2, 512, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(vgg16.head(features), vgg16.head(features))
        vgg16.head.train()
        try:
            assert not torch.equal(vgg16.head(features), vgg16.head(features))
        finally:
            vgg16.head.eval()


def test_cnn_is_small() -> None:
    assert 200_000 < parameters(networks.build("cnn", channels=1, n_classes=10, seed=0)) < 400_000


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 32, 32), (3, 32, 32), (3, 20, 33), (2, 64, 48)])
def test_every_network_takes_images_of_any_size_and_colour(name: str, shape: tuple[int, int, int]) -> None:
    network = networks.build(name, channels=shape[0], n_classes=7, seed=0).eval()
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, logits = network.embed(images), network(images)
        assert features.shape == (2, network.dimension)
        assert logits.shape == (2, 7)
        assert torch.equal(network.head(features), logits)
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_is_embedded_by_itself(name: str, digits: Tensor) -> None:
    """What else is in the batch does not matter once training is over."""
    network = networks.build(name, channels=1, n_classes=10, seed=0).eval()
    with torch.inference_mode():
        together, alone = network.embed(digits), torch.cat([network.embed(image[None]) for image in digits])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_same_seed_builds_the_same_bits_whatever_was_drawn_before() -> None:
    one = networks.build("cnn", channels=1, n_classes=10, seed=5).state_dict()
    torch.rand(3)
    two = networks.build("cnn", channels=1, n_classes=10, seed=5).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_another_seed_builds_other_weights() -> None:
    one, two = (networks.build("cnn", channels=1, n_classes=10, seed=seed) for seed in (5, 6))
    for a, b in zip(of(nn.Conv2d, one), of(nn.Conv2d, two), strict=True):
        assert not torch.equal(a.get_parameter("weight"), b.get_parameter("weight"))


def test_building_leaves_the_global_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    networks.build("cnn", channels=1, n_classes=10, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_network_names_the_nearest_and_all() -> None:
    with pytest.raises(UserError, match=r"^unknown network 'vgg'; did you mean 'vgg16'\? \(known: cnn, vgg16\)$"):
        networks.build("vgg", channels=1, n_classes=10, seed=0)
