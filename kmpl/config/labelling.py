"""Settings for labelling a folder: those that fit any number of images are chosen from it, unless they are given."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.config.presets import merge


class LabelOptions(Learning):
    """How the images of a folder are labelled. What is not given is chosen by the number of images and classes."""

    size: int = Field(default=32, ge=8, le=512)
    """Side that all images are brought to, pixels; their aspect ratio is kept."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of validation, folds, weights and batches."""
    validation: float = Field(default=0.1, ge=0, le=0.5)
    """Share of the given labels that is hidden from training, to check it by; 0 = none."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Confidence below which an image gets no label; 0 = every image gets one, whatever the check expects."""
    check: Literal["on", "off"] = "on"
    """Hide each part of the given labels in turn and let the method find them again: it tells how many of its labels
    will be right, and what confidence means; off = none of that, for those who know."""
    expect_accuracy: float = Field(default=0.8, gt=0.5, lt=1)
    """Share of the assigned labels that should be right: where that is not to be expected of all, the surest alone get
    one."""
    folds: int = Field(default=5, ge=2, le=20)
    """Parts of the given labels that are hidden in turn for the check."""


_OWN = ("size", "seed", "validation", "threshold", "check", "expect_accuracy", "folds")


def clusters_for(n_images: int, n_classes: int) -> int:
    """Return how many clusters go with a number of images and classes.

    2 √N clusters are the 200 and the 500 that 10,000 and 60,000 digits were measured with.
    """
    return min(n_images, max(n_classes, min(round(2 * math.sqrt(n_images)), 500)))


def sized(n_images: int, n_classes: int) -> dict[str, Any]:
    """Return the settings that go with a number of images and classes.

    >>> sized(10_000, 10)["clustering"], sized(150, 3)["clustering"]
    ({'n_clusters': 200}, {'n_clusters': 24})
    """
    return {
        "clustering": {"n_clusters": clusters_for(n_images, n_classes)},
        "pretrain": {"images_per_epoch": max(2_000, min(n_images, 8_000))},
        "retrain": {"images_per_epoch": max(2_000, min(4 * n_images, 4_000), min(2 * n_images, 30_000))},
    }


def experiment(
    dataset: str, given: Mapping[str, Any], n_images: int, n_labels: int, n_classes: int
) -> tuple[LabelOptions, ExperimentConfig]:
    """Return the settings of a labelling, and those of the experiment that does it.

    Args:
        dataset: ``folder:`` and the path.
        given: what was said, as a tree; it wins.
        n_images: in the folder.
        n_labels: given labels, validation included.
        n_classes: of them.

    Raises:
        UserError: a value out of its range.
    """
    chosen = merge(ExperimentConfig(), sized(n_images, n_classes))
    own = {name: value for name, value in given.items() if name in _OWN}
    config = merge(chosen, {name: value for name, value in given.items() if name not in _OWN})
    options = merge(LabelOptions(), config.model_dump(include=set(Learning.model_fields)) | own)
    about = {"dataset": dataset, "protocol": "literature", "labels": n_labels, "seed": options.seed}
    return options, merge(config, about | {"arms": ("pseudo-label",), "pool": {"image_size": options.size}})
