"""Networks: ``maps`` gives what convolutions see (B, M), ``embed`` features (B, D), ``head`` turns them into logits.

A new network is a class with an ``extractor``, a ``head``, a ``dimension`` (and a ``neck`` between the first two, if it
has one), and one line in ``NETWORKS``.
"""

from collections.abc import Callable

import torch

from kmpl.errors import look_up
from kmpl.models.cnn import CNN
from kmpl.models.network import Network
from kmpl.models.vgg16 import VGG16

NETWORKS: dict[str, Callable[[int, int], Network]] = {
    "cnn": CNN,
    "vgg16": VGG16,
}


def build(name: str, channels: int, n_classes: int, seed: int) -> Network:
    """Return a new network with weights drawn from ``seed``; the global random state is left as it was.

    Raises:
        UserError: no network of that name.
    """
    make = look_up(NETWORKS, name, "network")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(channels, n_classes).to(memory_format=torch.channels_last)
