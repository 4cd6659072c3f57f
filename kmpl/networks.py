"""Networks: ``maps`` gives what convolutions see (B, M), ``embed`` features (B, D), ``head`` turns them into logits.

A new network is a class with an ``extractor``, a ``head``, a ``dimension`` (and a ``neck`` between the first two, if it
has one), and one line in ``NETWORKS``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from kmpl.errors import look_up


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


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


class CNN(Network):
    """Small and fast: a fixed low-pass, three convolutions, each pooled at once, one hidden layer; 0.36 M parameters.

    Pooling comes before batch norm and ReLU, which then work on a quarter of the numbers. Low-pass and pooling rather
    than strides make it robust to the noise that it was never trained on (docs/log.md has the measurements).
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


class VGG16(Network):
    """The reference notebook's network: VGG16 with batch norm for images of 32 × 32, 33.6 M parameters.

    Source: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556 (configuration D)
    """

    dimension = 512

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for depth, width in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
            for _ in range(depth):
                layers += _conv(channels, width, bias=True)
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.extractor = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(512, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, n_classes),
        )

    def maps(self, images: Tensor) -> Tensor:
        """Return the 512 numbers that the five poolings leave of 32 × 32 pixels; other sizes are resized first."""
        if images.shape[-2:] != (32, 32):
            images = interpolate(images, (32, 32), mode="bilinear", antialias=True, align_corners=False)
        return super().maps(images)


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
