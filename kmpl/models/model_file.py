"""Trained networks as files that say themselves what they are: weights as safetensors, the rest in its header."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from torch import nn

from kmpl.config.base import Settings
from kmpl.errors import FileError
from kmpl.images.conversion import PLAIN, Conversion
from kmpl.models.backbones.backbone import ARCHITECTURE_ONLY
from kmpl.models.backbones.registry import open_backbone
from kmpl.models.classifier import Classifier
from kmpl.models.frozen_network import FrozenNetwork
from kmpl.models.network import Network
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.models.registry import build, name_of
from kmpl.models.weights import load_network, save_network

HEADER = "kmpl"
"""The entry of the header that holds the description, as JSON."""

_Side = Annotated[int, Field(ge=1, le=4096)]


class Description(Settings):
    """What a network's weights do not say: enough to build it again and to feed it with raw images."""

    network: str
    """Name in ``kmpl.config.networks``."""
    classes: tuple[str, ...] = Field(min_length=1)
    """Names of the C classes."""
    raw_shape: tuple[Literal[1, 3], _Side, _Side]
    """Channels, height and width of an image as the data set stores it."""
    size: int = Field(ge=0, le=4096)
    """Side of the images that the network sees, pixels; 0 = as they are."""
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Pixel values of black and white in pictures of more than 8 bits, by kind, as in those it was trained on."""
    ground: int | None = None
    """Shade under transparent pixels: 255 or 0."""
    backbone: str = ""
    """Name in ``kmpl.config.backbones``, with what follows its colon; empty: the network learnt from scratch."""
    root: bool = False
    """Square roots of the backbone's numbers are taken."""

    @model_validator(mode="after")
    def _has_conversion(self) -> "Description":
        assert self.conversion is not None  # it raises what is wrong
        return self

    @property
    def conversion(self) -> Conversion:
        """How pictures become pixels.

        Raises:
            ValueError: impossible ranges or ground.
        """
        return Conversion(self.ranges, self.ground)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A model of raw images, ready to predict or to be exported."""

    module: nn.Module
    """(B, height, width[, 3]) uint8 → (B, C)."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    raw_shape: tuple[int, int, int]
    """Channels, height and width of the images that it takes."""
    conversion: Conversion = PLAIN
    """How the pictures that it was trained on became pixels."""

    @property
    def classifier(self) -> Classifier:
        """The same as a function of arrays."""

        def classify(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return self.module(torch.from_numpy(images)).numpy()

        return Classifier(classes=self.classes, raw_shape=self.raw_shape, classify=classify, conversion=self.conversion)


def describe_network(
    network: Network,
    *,
    classes: Sequence[str],
    raw_shape: Sequence[int],
    size: int,
    conversion: Conversion,
) -> Description:
    """Return the description of a trained network; the arguments are its fields."""
    return Description.model_validate(
        {
            **(network.description if isinstance(network, FrozenNetwork) else {"network": name_of(network)}),
            "classes": tuple(classes),
            "raw_shape": tuple(raw_shape),
            "size": size,
            **conversion.record(),
        }
    )


def write_model(network: Network, about: Description, path: Path) -> None:
    """Write weights and description as one file.

    Raises:
        UserError: the file system refuses; nothing is left behind.
    """
    # What it does not need is left out, so that earlier versions can read it.
    needless = {name for name in ("ranges", "backbone", "root") if not getattr(about, name)}
    needless |= {"ground"} if about.ground is None else set()
    save_network(network, path, {HEADER: about.model_dump_json(exclude=needless)})


def read_description(path: Path) -> Description:
    """Return what a file of ``write_model`` says of itself.

    Raises:
        UserError: no such file, a damaged one, or one that says nothing.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", path) from error
    if HEADER not in header:
        raise FileError(
            f"{path} does not say which network and classes it holds; `kmpl export --safetensors` writes what does",
            path,
        )
    try:
        return Description.model_validate(json.loads(header[HEADER]))
    except (ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise FileError(f"{path}: its header does not describe a model of kmpl: {reason}", path) from error


def read_model(path: Path) -> TrainedModel:
    """Return the model in a file of ``write_model``.

    Raises:
        UserError: as ``read_description``; or the weights are another network's.
    """
    about = read_description(path)
    network: Network
    if about.backbone:
        backbone = open_backbone(about.backbone, ARCHITECTURE_ONLY)
        network = FrozenNetwork.untrained(backbone, n_classes=len(about.classes), root=about.root)
    else:
        network = build(about.network, channels=about.raw_shape[0], n_classes=len(about.classes), seed=0)
    load_network(network, path)
    return TrainedModel(
        module=RawImageClassifier(network, about.size),
        classes=about.classes,
        raw_shape=about.raw_shape,
        conversion=about.conversion,
    )
