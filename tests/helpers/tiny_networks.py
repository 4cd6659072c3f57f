"""Small networks for tests of model files."""

import torch

from kmpl.models import registry as networks
from kmpl.models.network import Network

CLASSES = ("cat", "dog, big", "🙂")


def network_for(channels: int, n_classes: int = 3, name: str = "cnn") -> Network:
    """Return a network whose batch norm has seen something, so that its outputs differ from image to image."""
    network = networks.build(name, channels=channels, n_classes=n_classes, seed=0)
    draws = torch.Generator().manual_seed(0)
    for _ in range(20):
        network(torch.rand(16, channels, 28, 28, generator=draws).pow(4))
    return network.eval()
