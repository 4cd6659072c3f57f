"""One prediction pass, for every arm. Shapes: N images, C classes, D feature dimension, M numbers that maps are."""

import math

import numpy as np
import torch
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import normalize

from kmpl.networks import Network
from kmpl.views import to_float

_BLOCK = 250  # images at once: what a layer gives still fits into memory that is kept
_SAMPLE = 10_000  # images that principal components are computed from


def predict(network: Network, images: Tensor, size: int = _BLOCK) -> np.ndarray:
    """Return class probabilities, shape (N, C) float32, of uint8 images (N, channels, height, width)."""
    return embed(network, images, size)[1]


def embed(network: Network, images: Tensor, size: int = _BLOCK, components: int = 0) -> tuple[np.ndarray, np.ndarray]:
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
            axes = _principal_axes(network, images, size, components)
        features, probabilities = [], []
        for block in images.split(size):
            maps = _maps(network, block)
            deep = network.neck(maps)
            probabilities.append(network.head(deep).float().softmax(dim=1).cpu())
            if axes is not None:
                deep = torch.cat([normalize(deep, dim=1), normalize((maps - axes[0]) @ axes[1], dim=1)], dim=1)
            features.append(deep.float().cpu())
    return torch.cat(features).numpy(), torch.cat(probabilities).numpy()


def _maps(network: Network, block: Tensor) -> Tensor:
    device = next(network.parameters()).device
    return network.maps(to_float(block.to(device)).contiguous(memory_format=torch.channels_last))


def _principal_axes(network: Network, images: Tensor, size: int, components: int) -> tuple[Tensor, Tensor]:
    """Return mean (M,) and axes (M, components) of the maps of evenly spaced images, enough to know them by.

    SciPy computes the few eigenvectors that are asked for, exactly, in a fifth of the time of all M, which
    scikit-learn's PCA would compute.
    """
    some = images[:: math.ceil(len(images) / _SAMPLE)]
    maps = torch.cat([_maps(network, block) for block in some.split(size)]).float()
    mean, n = maps.mean(dim=0), maps.shape[1]
    centred = (maps - mean).cpu().numpy()
    with threadpool_limits(1):
        covariance = centred.T @ centred
        _, axes = eigh(covariance, subset_by_index=(n - min(components, *maps.shape), n - 1), overwrite_a=True)
    return mean, torch.as_tensor(axes[:, ::-1].copy(), device=maps.device)  # SciPy gives the greatest last
