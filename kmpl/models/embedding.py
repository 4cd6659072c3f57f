"""One prediction pass, for every arm. Shapes: N images, C classes, D feature dimension, M numbers that maps are."""

import math

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import normalize

from kmpl.images.transforms import to_float
from kmpl.models.network import Network

_BLOCK_IMAGES = 250  # at once: what a layer gives still fits into memory that is kept
_SAMPLE_IMAGES = 4_000  # that principal components are computed from


def predict(network: Network, images: Tensor, size: int = _BLOCK_IMAGES) -> np.ndarray:
    """Return class probabilities, shape (N, C) float32, of uint8 images (N, channels, height, width)."""
    return embed(network, images, size=size)[1]


def embed(
    network: Network, images: Tensor, *, size: int = _BLOCK_IMAGES, components: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) and class probabilities (N, C), float32, of uint8 images, without augmentation.

    Args:
        network: a network; its neck gives the D deep features.
        images: (N, channels, height, width) uint8.
        size: images at once.
        components: if not 0, so many principal components of what the neck is given stand beside the deep features,
            both scaled to length one. The neck has learnt to tell apart what the labels tell apart, and forgets the
            rest; the layer before it still knows which images look alike. Ignored for a network without a neck.
    """
    network.eval()
    with torch.inference_mode():
        axes = None
        if components and len(images) and not isinstance(network.neck, nn.Identity):
            middle, axes = _principal_axes(network, images, size=size, components=components)
        features = []
        probabilities = []
        for block in images.split(size):
            maps = _maps(network, block)
            deep = network.neck(maps)
            probabilities.append(network.head(deep).float().softmax(dim=1).cpu())
            if axes is not None:
                deep = torch.cat([normalize(deep, dim=1), normalize(maps @ axes - middle, dim=1)], dim=1)
            features.append(deep.float().cpu())
    return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


def _maps(network: Network, block: Tensor) -> Tensor:
    device = next(network.parameters()).device
    return network.maps(to_float(block.to(device)).contiguous(memory_format=torch.channels_last))


def _principal_axes(network: Network, images: Tensor, *, size: int, components: int) -> tuple[Tensor, Tensor]:
    """Return where the mean of all maps lies on the axes (components,), and the axes (M, components).

    Evenly spaced images are enough to know them by.

    Randomised: the exact axes keep a thousandth more of the variance and take five times as long.
    """
    some = images[:: math.ceil(len(images) / _SAMPLE_IMAGES)]
    maps = torch.cat([_maps(network, block) for block in some.split(size)]).float()
    mean = maps.mean(dim=0)
    wanted = min(components, *maps.shape)
    with threadpool_limits(1):
        axes = randomized_svd((maps - mean).cpu().numpy(), wanted, n_iter=7, random_state=0)[2]
    turned = torch.as_tensor(axes.T.copy(), device=maps.device)
    return mean @ turned, turned
