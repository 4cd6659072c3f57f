"""Features of image files for programs of others: ``kmpl.embed_files``. N images, D feature dimension."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np

from kmpl.config.backbones import DEFAULT_BACKBONE
from kmpl.errors import UserError
from kmpl.images.reading import read_files, read_in_order
from kmpl.models.backbones.embedding import embed_in_batches
from kmpl.models.backbones.registry import open_backbone
from kmpl.models.frozen_network import directions

_MEASURED_PIXELS = 8  # side of the first reading, which only finds what all files decide together


def embed_files(
    files: Iterable[str | PathLike[str]],
    backbone: str = DEFAULT_BACKBONE,
    *,
    weights: str = "",
    device: str = "auto",
    precision: str = "auto",
) -> np.ndarray:
    """Return features of image files, (N, D) float32 of length one, for a classifier or ``KMeansPseudoLabeller``.

    They are what ``kmpl label`` computes of the same files: read, turned upright, fitted into a square with their
    aspect ratio, embedded, square roots taken if no number of any file is negative, scaled to length one. Pictures of
    more than 8 bits are scaled alike, and transparent ones get the same ground, all files of a call together.

    Args:
        files: the files, in the order of the rows.
        backbone: efficientnet-lite0 (extra pictures), timm:NAME, torchvision:NAME or onnx:FILE.
        weights: file of weights; ``download``: its library may fetch them; empty: what is installed or cached.
        device: auto, cpu, cuda or mps.
        precision: of convolutions: auto, float32 or bfloat16.

    Raises:
        UserError: no file, no such backbone, a missing package, or a file that cannot be read.
    """
    if isinstance(files, str):
        raise UserError(f"{files}: give a list of files, not one name")
    paths = [str(Path(file).absolute()) for file in files]
    if not paths:
        raise UserError("name at least one image file")
    network = open_backbone(backbone, weights)
    measured = read_files(Path("/"), paths, size=_MEASURED_PIXELS, channels=None, on_progress=lambda *_: None)
    pictures = read_in_order(Path("/"), paths, size=network.size, channels=3, conversion=measured.conversion)
    return directions(np.concatenate(list(embed_in_batches(network, pictures, device, precision))))[0]
