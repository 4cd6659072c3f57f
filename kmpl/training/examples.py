"""Images and labels as batches. Shapes: N images, B in a batch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """What a network is trained on."""

    images: Tensor
    """(N, channels, height, width) uint8."""
    labels: Tensor
    """(N,) int64."""
    weights: Tensor
    """(N,) float: weight of each image in the loss."""
    groups: Tensor
    """(N,) int64: whose centroid the clustering loss pulls each image to."""
    mirrored: Tensor
    """(N,) bool: in a view that mirrors at random."""


def examples(
    images: Tensor,
    labels: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    mirrored: np.ndarray | None = None,
) -> Examples:
    """Return training examples; weights default to one, groups to the labels, and none is mirrored."""
    return Examples(
        images=images,
        labels=torch.as_tensor(labels),
        weights=torch.ones(len(labels)) if weights is None else torch.as_tensor(weights, dtype=torch.float32),
        groups=torch.as_tensor(labels if groups is None else groups),
        mirrored=torch.zeros(len(labels), dtype=torch.bool) if mirrored is None else torch.as_tensor(mirrored),
    )


def batches(n: int, *, per_epoch: int, size: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of one epoch's batches: whole shuffled passes until ``per_epoch`` images are drawn.

    A last batch of a single image is left out, because batch norm cannot be computed on it.
    """
    passes = math.ceil(per_epoch / n)
    order = torch.cat([torch.randperm(n, generator=draws) for _ in range(passes)])[:per_epoch]
    return (batch for batch in order.split(size) if len(batch) > 1)
