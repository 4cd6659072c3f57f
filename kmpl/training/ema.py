"""The running average of a network's weights over the steps of its training."""

import copy
from itertools import chain

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kmpl.models.network import Network


class RunningAverage:
    """A copy of a network whose weights, and statistics of batch norm, follow the network's.

    ``torch.optim.swa_utils.AveragedModel`` does the same, but looks for all tensors again at each step, which takes
    longer than to average them.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network)
        """The average."""
        self._decay = decay
        self._steps = 0
        self._averages = _state(self.network)
        self._latest = _state(network)

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the network as it is now; at first quickly, so that few steps forget the first weights.

        Source: the decay of ``tf.train.ExponentialMovingAverage`` with ``num_updates``.
        """
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps)) if self._steps > 1 else 0.0
        get_ema_multi_avg_fn(decay)(self._averages, self._latest, self._steps)


def _state(network: Network) -> list[Tensor]:
    """Return what is averaged: all but counters."""
    state = chain(network.parameters(), network.buffers())
    return [tensor.detach() for tensor in state if tensor.is_floating_point()]
