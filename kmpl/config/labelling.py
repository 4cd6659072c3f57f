"""Settings for labelling a folder: those that fit any number of images are chosen from it, unless they are given."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from pydantic import Field

from kmpl.config.backbones import AUTO, BACKBONES_DESCRIBED, NO_BACKBONE
from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.config.presets import merge
from kmpl.errors import SettingError


class LabelOptions(Learning):
    """How the images of a folder are labelled. What is not given is chosen by the number of images and classes."""

    backbone: str = Field(
        default=AUTO,
        description=f"Network that learnt elsewhere: {AUTO} (the labels decide), {NO_BACKBONE} (one learns from the "
        f"folder), {BACKBONES_DESCRIBED}.",
    )
    size: int = Field(default=32, ge=8, le=512)
    """Side of the images that the network sees, pixels. Images are scaled to it; their aspect ratio is kept."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of all random draws: labels, folds, weights."""
    validation: float = Field(default=0.1, ge=0, le=0.5)
    """Share of given labels held out for validation; 0 = none."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Confidence threshold: an image below it gets no label. 0 = each image gets a label, whatever the check says."""
    check: Literal["on", "off"] = "on"
    """Cross-fitting: given labels are hidden in turn and must be found again. It says how many assigned labels will be
    right, and calibrates confidence; off = neither."""
    expect_accuracy: float = Field(default=0.8, gt=0.5, lt=1)
    """Share of the assigned labels that the check must expect to be right. If all labels together fall short of it,
    only the most confident ones are written."""
    guarantee: float | None = Field(default=None, gt=0.5, lt=1)
    """Share of the assigned labels that is right with a probability of 1 − at_risk, if given labels are random."""
    at_risk: float = Field(default=0.1, gt=0, lt=0.5)
    """Probability that the guarantee is broken."""
    folds: int = Field(default=5, ge=2, le=20)
    """Folds of the check."""
    shards: int = Field(default=0, ge=0, le=1_000_000)
    """Number of parts in which a large folder is embedded and labelled, so that its features need no memory. 0 = as
    many as hold 4,096 images each, for more than 50,000 images with a backbone that is named; else one, in memory."""


FROZEN: dict[str, Any] = {"pseudo_labels": {"strategy": "cluster-ensemble", "rounds": 1}}
"""Settings that go with features of a backbone; docs/log/attempts-pictures.md has the others."""
_OF_CHECK = ("threshold", "check", "expect_accuracy", "guarantee", "at_risk", "folds")
_OWN = ("size", "seed", "validation", "shards", *_OF_CHECK)

_OPEN = ("device", "threads")
"""Settings that a model leaves open."""


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
    dataset: str, given: Mapping[str, Any], *, n_images: int, n_labels: int, n_classes: int, backbone: str
) -> tuple[LabelOptions, ExperimentConfig]:
    """Return the settings of a labelling, and those of the experiment that does it.

    Args:
        dataset: ``folder:`` and the path.
        given: what was said, as a tree; it wins.
        n_images: in the folder.
        n_labels: given labels, validation included.
        n_classes: of them.
        backbone: whose features are labelled; ``none``: a network learns its own.

    Raises:
        UserError: a value out of its range.
    """
    given = {name: value for name, value in given.items() if name != "backbone"}
    chosen = merge(ExperimentConfig(), sized(n_images, n_classes) | {"backbone": backbone})
    own = {name: value for name, value in given.items() if name in _OWN}
    if backbone != NO_BACKBONE:
        chosen = merge(chosen, FROZEN)
        own = {"validation": 0.0} | own  # the labels that cross-fitting hides are enough
    config = merge(chosen, {name: value for name, value in given.items() if name not in _OWN})
    options = merge(LabelOptions(), config.model_dump(include=set(Learning.model_fields)) | own)
    about = {"dataset": dataset, "protocol": "literature", "labels": n_labels, "seed": options.seed}
    return options, merge(config, about | {"arms": ("pseudo-label",), "pool": {"image_size": options.size}})


def check_choice(given: Mapping[str, Any]) -> None:
    """Refuse settings that each choose the threshold, and those that need a check where there is none.

    Args:
        given: what was said, as a tree.

    Raises:
        UserError: in one line.
    """
    choosing = [name for name in ("expect_accuracy", "threshold", "guarantee") if given.get(name) is not None]
    if len(choosing) > 1:
        _refuse(given, *choosing, reason="each chooses the threshold; give one of them")
    if given.get("check") == "off" and choosing not in ([], ["threshold"]):
        _refuse(given, choosing[0], reason="needs the check, which is off; let it be on")


IMAGES_PER_SHARD = 4_096
MOST_IN_MEMORY = 50_000
"""Images of a folder that are labelled in memory, at most, where nobody says how many shards there are."""
_OF_SHARDS = (
    *("backbone", "backbone_weights", "device", "precision", "threads", "seed", "shards", *_OF_CHECK),
    *("clustering.n_clusters", "pseudo_labels.threshold", "pseudo_labels.weighted", "pseudo_labels.labelled_share"),
)


def check_shards(given: Mapping[str, Any]) -> None:
    """Refuse settings that a labelling in shards cannot honour.

    Args:
        given: what was said, as a tree.

    Raises:
        UserError: in one line.
    """
    backbone = str(given.get("backbone", AUTO))
    if backbone in (AUTO, NO_BACKBONE):
        reason = "shards hold features of a backbone"
        raise SettingError("backbone", backbone, reason, "the name of one, such as efficientnet-lite0")
    names = [name for name in flatten(given) if name not in _OF_SHARDS]
    if names:
        _refuse(flatten(given), names[0], reason="a labelling in shards does not know it; leave it out")


def check_new_files(given: Mapping[str, Any]) -> None:
    """Refuse settings that a labelling of new files cannot honour, since a model is there.

    Args:
        given: what was said, as a tree.

    Raises:
        UserError: in one line.
    """
    names = [name for name in flatten(given) if name not in _OPEN]
    if names:
        reason = "the model that is there decides for new files; leave it out, or label the whole folder anew"
        _refuse(flatten(given), names[0], reason=reason)


def _refuse(given: Mapping[str, Any], name: str, *more: str, reason: str) -> NoReturn:
    line = f"{' and '.join((name, *more))}: {reason}"
    raise SettingError(name, given[name], reason, line=line, also=more)
