"""What each benchmark is run with, and its options."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field

from kmpl.config.backbones import DEFAULT_BACKBONE
from kmpl.config.base import COMMA_SEPARATED, Ratios, Seeds, Settings, Sizes
from kmpl.config.experiment import AFTER, BEFORE, Arm, Arms
from kmpl.config.sweep import SweepOptions

SETTINGS: Mapping[str, dict[str, Any]] = {
    "literature": {"protocol": "literature"},
    "notebook": {"protocol": "notebook"},
    "fewest": {"protocol": "literature", "arms": (BEFORE, AFTER)},
    "ingredients": {"protocol": "literature", "pool": {"size": 50_000}},
}
"""Of each table, over the defaults; single settings win over them."""
RATIOS = {
    "literature": (0.05, 0.01667, 0.01, 0.00167),  # 3,000, 1,000, 600 and 100 labels of 60,000 images
    "notebook": (0.8, 0.4, 0.1),
}
PICTURE_ARMS = (
    "logistic regression",
    "k-NN",
    "LabelSpreading",
    "kmpl without clusters",
    "kmpl",
    "kmpl from scratch",
)
"""What folders of pictures are labelled by, on the same features; only the last learns its own."""
DEFAULT_PICTURE_ARMS = PICTURE_ARMS[:-1]
KEYSTROKE_WAYS = ("random", "suggest", "clusters", "both")
"""What a simulated person names: single images, suggested ones, clusters, or clusters and then suggested images."""
AUDIT = ("notebook", None, {"network": "cnn"})
"""Preset, file and settings of the audit: VGG16 would take days on a laptop."""


class BenchmarkOptions(SweepOptions):
    """The experiments of a benchmark; all of them take hours. Ratios and name are the benchmark's unless given."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds, separated by commas. Each seed draws labels, views and weights anew; all arms share its draws."""
    arms: Arms = get_args(Arm)
    """Arms (methods) to compare, separated by commas."""


class AuditOptions(Settings):
    """Labelled ratios and seeds of the audit."""

    ratios: Ratios = (0.8, 0.4, 0.1)
    """Labelled ratios (shares of the pool that are labelled), separated by commas; each in (0, 1)."""
    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds, separated by commas."""


class SeedOptions(Settings):
    """Seeds of a benchmark."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds, separated by commas. Each seed draws the given labels anew."""


class IngredientOptions(Settings):
    """Number of labels and seeds of the comparison of ingredients."""

    labels: int = Field(default=100, ge=1)
    """Number of given labels, validation included."""
    seeds: Seeds = (1_000, 1_001, 1_002)
    """Seeds, separated by commas. The seeds of the published tables (0 to 4) are not used for development."""


class PictureOptions(SeedOptions):
    """Labels, seeds and arms of the comparison on folders of pictures."""

    per_class: Annotated[tuple[Annotated[int, Field(ge=1)], ...], *COMMA_SEPARATED] = (1, 5, 20)
    """Numbers of labels of each class, separated by commas. A small class gives half of its files at most."""
    arms: Annotated[tuple[str, ...], *COMMA_SEPARATED] = DEFAULT_PICTURE_ARMS
    """What is compared, separated by commas; kmpl from scratch, which takes minutes for each draw, can be added."""


class KeystrokeOptions(SeedOptions):
    """Numbers of keys, seeds and ways of the comparison of what a person's keys are worth."""

    seeds: Seeds = (1000, 1001, 1002)
    """Seeds, separated by commas. Each seed draws images and clusters anew."""
    keys: Annotated[tuple[Annotated[int, Field(ge=1)], ...], *COMMA_SEPARATED] = (20, 40, 60, 80, 120, 160, 240)
    """Numbers of keys after which the labels are compared with the true ones, rising, separated by commas."""
    ways: Annotated[tuple[str, ...], *COMMA_SEPARATED] = KEYSTROKE_WAYS
    """What the simulated person names, separated by commas."""


class CostOptions(Settings):
    """Sizes of the pool at which the cost of each step is measured."""

    sizes: Sizes = (7_500, 15_000, 30_000, 60_000, 120_000, 240_000)
    """Numbers of images in the pool, separated by commas. If the data set has fewer, the pool holds views of them."""


class ShardOptions(Settings):
    """How much the benchmark of shards measures."""

    points: int = Field(default=200_000, ge=0)
    """Points that K-means clusters over shards and all at once; 0 = that is left out."""
    sizes: Annotated[tuple[Annotated[int, Field(ge=1_000)], ...], *COMMA_SEPARATED] = (60_000, 240_000, 1_000_000)
    """Numbers of images whose features are labelled in shards, separated by commas; features of a real network."""
    pictures: int = Field(default=5_000, ge=0)
    """Pictures that are embedded and labelled in shards; 0 = none."""
    backbone: str = DEFAULT_BACKBONE
    """Network that embeds them."""
    real: int = Field(default=1_000, ge=200, le=60_000)
    """Pictures whose features the others are drawn from."""
