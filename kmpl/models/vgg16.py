"""VGG16, the notebook's network."""

from torch import Tensor, nn
from torch.nn.functional import interpolate

from kmpl.models.network import Network


def _conv(inputs: int, outputs: int, *, size: int = 3, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


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
