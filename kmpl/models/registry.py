"""Networks: ``maps`` gives what convolutions see (B, M), ``embed`` features (B, D), ``head`` turns them into logits.

A new network is a class with an ``extractor``, a ``head``, a ``dimension`` (and a ``neck`` between the first two, if it
has one), and one line in ``kmpl.config.networks``.
"""

from collections.abc import Callable

import torch

from kmpl.config.networks import NETWORKS
from kmpl.errors import look_up
from kmpl.models.network import Network


def build(name: str, *, channels: int, n_classes: int, seed: int) -> Network:
    """Return a new network with weights drawn from ``seed``; the global random state is left as it was.

    Raises:
        UserError: no network of that name.
    """
    make: Callable[[int, int], Network] = look_up(NETWORKS, name, "network").load()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(channels, n_classes).to(memory_format=torch.channels_last)


def name_of(network: Network) -> str:
    """Return the name of a network's class."""
    return next(name for name, choice in NETWORKS.items() if choice.load() is type(network))
