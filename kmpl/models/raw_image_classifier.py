"""A trained network as others use it: raw images in, class probabilities out."""

import copy

import torch
from torch import Tensor, nn

from kmpl.images.transforms import resize, to_float
from kmpl.models.network import Network


class RawImageClassifier(nn.Module):
    """Takes images as a data set stores them and does the rest itself: scaling, resizing, network, softmax."""

    def __init__(self, network: Network, size: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
        self.network.precision = torch.float32  # who predicts may have no bfloat16, and neither has ONNX's runtime
        self.size = size
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (B, C) of uint8 images, (B, height, width) grey or (B, height, width, 3) colour."""
        batch = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        return self.network(resize(to_float(batch), self.size)).softmax(dim=1)
