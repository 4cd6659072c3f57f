"""The small convolutional network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from kmpl.models.network import Network


def _pooled(inputs: int, outputs: int, size: int = 3) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
        Halved(),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class LowPass(nn.Module):
    """Smooths each channel with the fixed 3 × 3 binomial filter (1 2 1) × (1 2 1) / 16.

    Sums of shifted images take a quarter of the time of a convolution.

    Source: anti-aliasing before sampling, Zhang 2019, https://arxiv.org/abs/1904.11486
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the smoothed images, same shape."""
        wide = pad(images, (1, 1, 1, 1), mode="replicate")
        rows = wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :]
        return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


class Halved(nn.Module):
    """Max pooling, 2 × 2; a last odd row or column is pooled alone."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the maxima, (B, channels, ⌈height / 2⌉, ⌈width / 2⌉)."""
        if self.training or images.shape[-1] % 2 or images.shape[-2] % 2:
            return max_pool2d(images, 2, ceil_mode=True)
        # Without indices for a backward pass: half the time, to the same bit.
        rows = torch.maximum(images[..., ::2, :], images[..., 1::2, :])
        return torch.maximum(rows[..., ::2], rows[..., 1::2])


class CNN(Network):
    """Small and fast: a fixed low-pass, three convolutions, each pooled at once, one hidden layer; 0.36 M parameters.

    Pooling comes before batch norm and ReLU, which then work on a quarter of the numbers. Low-pass and pooling rather
    than strides make it robust to the noise that it was never trained on (measured:
    docs/log/attempts-network.md).
    """

    dimension = 128

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.extractor = nn.Sequential(
            LowPass(),
            *_pooled(channels, 32, size=5),
            *_pooled(32, 64),
            *_pooled(64, 128),
            nn.AdaptiveMaxPool2d(4),
        )
        self.neck = nn.Sequential(nn.Linear(128 * 16, self.dimension), nn.ReLU(inplace=True))
        self.head = nn.Linear(self.dimension, n_classes)
