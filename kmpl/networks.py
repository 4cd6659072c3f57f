"""Networks: ``embed`` gives features (B, D), ``head`` turns them into logits (B, C).

A new network is a class with those two, a ``dimension``, and one line in ``NETWORKS``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kmpl.errors import look_up


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Network(nn.Module):
    """A feature extractor and a classifier on top of it."""

    extractor: nn.Module
    head: nn.Module
    dimension: int

    def embed(self, images: Tensor) -> Tensor:
        """Return the deep features, shape (B, D), of float images (B, channels, height, width) in [0, 1]."""
        return self.extractor(images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (B, C)."""
        return self.head(self.embed(images))


class CNN(Network):
    """Small and fast: a strided 5 × 5 stem, three 3 × 3 convolutions, global average; 0.24 M parameters.

    The stem halves the sides at once, so that the wide layers work on few pixels: that is what makes it fast on a CPU.
    """

    dimension = 128

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.extractor = nn.Sequential(
            *_conv(channels, 32, size=5, stride=2),
            *_conv(32, 64),
            nn.MaxPool2d(2),
            *_conv(64, 128),
            *_conv(128, 128),
            nn.AdaptiveAvgPool2d(1),
        )
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

    def embed(self, images: Tensor) -> Tensor:
        """Return the 512 numbers that the five poolings leave of 32 × 32 pixels; other sizes are resized first."""
        if images.shape[-2:] != (32, 32):
            images = interpolate(images, (32, 32), mode="bilinear", antialias=True, align_corners=False)
        return super().embed(images)


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
