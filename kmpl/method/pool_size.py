"""Settings that depend on how many images there are, where nobody gave them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from kmpl.config import presets
from kmpl.config.backbones import NO_BACKBONE
from kmpl.config.experiment import Method
from kmpl.config.labelling import FROZEN, clusters_for
from kmpl.config.presets import merge
from kmpl.datasets.pool import count_images_and_classes

M = TypeVar("M", bound=Method)


def fitted(config: M, overrides: Mapping[str, Any], n_intended: int) -> M:
    """Return the settings with as many clusters as fit the pool, where nobody said how many and the pool is small.

    With a backbone, strategy and rounds are those that frozen features are labelled by, unless somebody set them.

    The defaults' clusters are for a pool of their own. In a smaller one each would hold a handful of images, too few to
    outvote a wrong label; a larger one keeps them.

    Args:
        config: settings.
        overrides: what somebody set of them, as a tree; the rest is defaults and preset.
        n_intended: images in the pool that the number of clusters in ``config`` is for.

    Raises:
        UserError: the data set cannot be had.
    """
    if config.backbone != NO_BACKBONE:
        config = merge(config, presets.overlay(FROZEN, overrides))
    set_by_hand = "n_clusters" in overrides.get("clustering", {})
    n_least = config.pool.size * config.pool.views_per_image  # 0 = as many as there are: see below
    if set_by_hand or n_least >= n_intended:
        return config
    n_images, n_classes = count_images_and_classes(config)
    if n_images >= n_intended:
        return config
    return merge(config, {"clustering": {"n_clusters": clusters_for(n_images, n_classes)}})
