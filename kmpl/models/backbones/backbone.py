"""What every backbone is: colour images → features. Shapes: B images, D feature dimension, S side in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kmpl.images.transforms import resize

ARCHITECTURE_ONLY = "architecture only"
"""Asks for a network without its weights: they are in the file that asks."""
DOWNLOAD = "download"
"""Asks for the library's own weights, wherever they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Which backbone is wanted."""

    name: str
    """What follows the kind: ``resnet18`` of ``timm:resnet18``; a file's path for ``onnx:``; empty for the default."""
    weights: str = ""
    """File of weights, ``DOWNLOAD``, ``ARCHITECTURE_ONLY``; empty: what is installed or cached."""


class Backbone(nn.Module):
    """A network without its classifier, and what it wants to be given."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        licence: str,
        size: int,
        dimension: int,
        mean: Sequence[float],
        deviation: Sequence[float],
    ) -> None:
        """Take a network that gives features (B, D), or maps (B, D, height, width), whose mean is taken.

        Args:
            network: (B, 3, size, size) normalised → features or maps.
            name: as a setting names it.
            licence: of the weights, in words.
            size: S.
            dimension: D.
            mean: of each channel's values in [0, 1], as the network learnt them.
            deviation: of the same.
        """
        super().__init__()
        self.network = network
        self.name = name
        self.file_digest = ""  # of a network that is no PyTorch's and lies in a file
        self.licence = licence
        self.size = size
        self.dimension = dimension
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32)[:, None, None])
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, D) of images (B, 1 or 3, height, width) in [0, 1]."""
        colour = images.expand(-1, 3, -1, -1)
        maps: Tensor = self.network((resize(colour, self.size) - self.mean) / self.deviation)
        return maps.mean(dim=(2, 3)) if maps.ndim == 4 else maps.flatten(1)

    def train(self, mode: bool = True) -> "Backbone":  # noqa: ARG002
        """Stay in evaluation mode: what was learnt elsewhere is not changed by what passes through."""
        return super().train(False)

    @property
    def is_exportable(self) -> bool:
        """Whether PyTorch knows the network: another runtime's cannot become part of a model file."""
        return not self.file_digest
