"""What every network is: images → features → classes."""

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A feature extractor, hidden layers behind it, and a classifier on top of them."""

    extractor: nn.Module
    neck: nn.Module
    head: nn.Module
    dimension: int
    precision: torch.dtype = torch.float32
    """What convolutions compute in. Weights, and all behind the convolutions, are float32 always."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Identity()

    def maps(self, images: Tensor) -> Tensor:
        """Return what the extractor sees, shape (B, M), of float images (B, channels, height, width) in [0, 1]."""
        if self.precision == torch.float32:
            return self.extractor(images).flatten(1)
        with torch.autocast(images.device.type, self.precision):
            return self.extractor(images).flatten(1).float()

    def embed(self, images: Tensor) -> Tensor:
        """Return the deep features, shape (B, D)."""
        return self.neck(self.maps(images))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (B, C)."""
        return self.head(self.embed(images))
