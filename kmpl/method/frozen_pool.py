"""Features of a pool by a backbone. Shapes: N images in the pool, V validation images, D feature dimension."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kmpl.config.backbones import FEATURES, kind_of
from kmpl.config.experiment import Learning
from kmpl.datasets.types import FrozenFeatures, Pool
from kmpl.errors import SettingError
from kmpl.method.frozen_structure import with_structure
from kmpl.method.step_inputs import StepInput
from kmpl.models.backbones.backbone import Backbone
from kmpl.models.backbones.embedding import embed_in_batches
from kmpl.models.backbones.registry import open_backbone
from kmpl.models.frozen_network import directions
from kmpl.runtime.seeds import derive


@lru_cache(maxsize=2)
def backbone_of(name: str, weights: str) -> Backbone:
    """Return the backbone of that name, opened once.

    Raises:
        SettingError: features from a file are those of a folder, and a data set has none.
        UserError: as ``open_backbone``.
    """
    if kind_of(name) == FEATURES:
        raise SettingError("backbone", name, "a data set is embedded anew", "a network, or none")
    return open_backbone(name, weights)


def in_order(pool: Pool) -> Tensor:
    """Return all images of a pool, (N + V, channels, height, width) uint8, in an order that no split changes."""
    return torch.cat([pool.images, pool.validation_images])[torch.from_numpy(_order(pool))]


def _order(pool: Pool) -> np.ndarray:
    """Return the index of each image of ``in_order`` in the pool, validation images behind the others."""
    return np.argsort(np.concatenate([pool.sources, pool.validation_sources]), kind="stable")


def embed_pool(inputs: StepInput) -> np.ndarray:
    """Return features (N + V, D) float32 of ``in_order``."""
    config = inputs.config
    backbone = backbone_of(config.backbone, config.backbone_weights)
    pictures = in_order(inputs.pool).permute(0, 2, 3, 1).numpy()
    return np.concatenate(list(embed_in_batches(backbone, pictures, config.device, config.precision)))


def with_features(pool: Pool, values: np.ndarray, config: Learning, seed: int) -> Pool:
    """Return the same pool with features of a backbone.

    Args:
        pool: the images.
        values: (N + V, D) from ``embed_pool``.
        config: settings; ``backbone`` is one.
        seed: of the clusterings.
    """
    backbone = backbone_of(config.backbone, config.backbone_weights)
    prepared, root = directions(values)
    ours = np.empty_like(prepared)
    ours[_order(pool)] = prepared
    frozen = FrozenFeatures(
        values=ours[: len(pool.images)],
        validation=ours[len(pool.images) :],
        root=root,
        name=config.backbone,
        backbone=backbone,  # without a side: the model sees what the pool has, as the test does
    )
    return replace(pool, frozen=with_structure(frozen, derive(seed, "structure")))
