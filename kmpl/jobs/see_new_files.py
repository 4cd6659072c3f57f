"""New images as the model of a labelling sees them. Shapes: n images, D feature dimension, C classes."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from kmpl.errors import ReadingWarning
from kmpl.images.reading import OnProgress
from kmpl.images.value_ranges import unknown_sentence
from kmpl.jobs.new_files import Found
from kmpl.jobs.predict_files import read_batches
from kmpl.models.backbones.backbone import Backbone
from kmpl.models.backbones.embedding import embed_batch
from kmpl.models.embedding import embed
from kmpl.models.frozen_network import FrozenNetwork
from kmpl.models.model_file import TrainedModel
from kmpl.models.raw_image_classifier import RawImageClassifier


class Seen(NamedTuple):
    """Images as the model sees them: names, features (n, D), probabilities (n, C)."""

    files: list[str]
    features: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def none(cls) -> "Seen":
        """Return that no image was seen."""
        nothing = np.zeros((0, 0), dtype=np.float32)
        return cls([], nothing, nothing)


def see_new_files(
    found: Found, trained: TrainedModel, root: Path, device: str, on_progress: OnProgress
) -> tuple[Seen, dict[str, str]]:
    """Return new and changed images as the model sees them, and the files that cannot be read, with the reason."""
    wanted = found.changes.unseen
    left_out: dict[str, str] = {}
    names: list[str] = []
    features: list[np.ndarray] = []
    probabilities: list[np.ndarray] = []
    model = trained.classifier
    kept = found.known.reference

    def unread(path: Path, reason: str) -> None:
        left_out[path.relative_to(root).as_posix()] = reason

    for readable, images, n in read_batches(model, [root / file for file in wanted], unread):
        if readable:
            names += [path.relative_to(root).as_posix() for path in readable]
            one, other = _embedded(trained, images, device, kept.about.precision)
            features.append(one)
            probabilities.append(other)
        on_progress(n, len(wanted))
    for kind in sorted(model.unknown):
        warnings.warn(f"{root}: {unknown_sentence(kind)}", ReadingWarning, stacklevel=3)
    dimension = kept.centroids.shape[1]
    none = np.zeros((0, dimension), dtype=np.float32), np.zeros((0, len(model.classes)), dtype=np.float32)
    return Seen(names, np.concatenate([none[0], *features]), np.concatenate([none[1], *probabilities])), left_out


def _embedded(model: TrainedModel, images: np.ndarray, device: str, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and probabilities of images (B, height, width[, 3]), computed as those of the old images were."""
    assert isinstance(model.module, RawImageClassifier), "a file of weights was read"
    network = model.module.network
    if isinstance(network, FrozenNetwork):
        assert isinstance(network.extractor, Backbone), "a model of images has a backbone"
        numbers = torch.from_numpy(embed_batch(network.extractor, torch.from_numpy(images), device, precision))
        with torch.inference_mode():
            prepared = network.neck(numbers).numpy()
        return prepared, network.probabilities(prepared)
    batch = torch.from_numpy(images)
    return embed(network, batch[:, None] if batch.ndim == 3 else batch.permute(0, 3, 1, 2).contiguous())
