"""What a labelling keeps of its images, to compare later images with: small, and enough where the images are gone.

Centroids and how far the old images lie from them, a sample of their features, and how sure the model is of them. Two
of these would flatter the old images, which the labelling has seen. Centroids lie near the images that they are the
means of, and a classifier is too sure of images that it learnt from. So the distances are from centroids, and how sure
the model is of the old images is said by classifiers, that did not know them. Measured: docs/log/attempts-labelling.md.

Shapes: N images, C classes, K clusters, D feature dimension, H and M images that classifiers and centroids did
not know, R kept features.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from scipy.special import softmax

from kmpl.config.base import Settings
from kmpl.errors import FileError

FILE = "reference.safetensors"
"""Its name among the files of a run."""
_HEADER = "kmpl"


class Source(Settings):
    """Where a labelling read and wrote labels, and by which rules."""

    out: str = ""
    """The file of labels that was written, absolute."""
    out_format: str = ""
    labels_file: str = ""
    """The file of given labels, absolute; empty: the names of sub-folders were the labels."""
    class_named: tuple[str, ...] = ()
    trust: str | None = None
    format: str | None = None
    """Rules by which the given labels were read."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Given settings, as a tree."""


class About(Settings):
    """What a labelling was, as far as later images need it."""

    files: tuple[str, ...]
    """(N,) relative to the folder, sorted."""
    classes: tuple[str, ...]
    """(C,) names."""
    given: int
    """Given labels."""
    named: tuple[int, ...]
    """(C,) images without a given label of which each class is the most likely."""
    threshold: float | None
    """Least confidence of a label that is written; None: none is."""
    expected: float | None
    """Expected share of right labels among the written ones; None where nothing was checked."""
    expected_of_all: float | None
    """The same of all images."""
    has_confidence: bool
    """False where confidence could not be checked, and is not written."""
    guarantee: bool = False
    """The labels are guaranteed; those of later images are not."""
    precision: str = "auto"
    """Of the backbone's convolutions."""
    source: Source
    """Where labels were read and written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The old images, as later ones are compared with them."""

    about: About
    digests: np.ndarray = field(repr=False)
    """(N, 32) uint8: SHA-256 of each file."""
    centroids: np.ndarray = field(repr=False)
    """(K, D)."""
    is_shown: np.ndarray = field(repr=False)
    """(1,) uint8: 1 where the clusters are those that the labels name."""
    distances: np.ndarray = field(repr=False)
    """(M,) of old images from the nearest centroid, where the centroids are of other images."""
    scores: np.ndarray = field(repr=False)
    """(≤ H,) how sure the model is, rising."""
    confidences: np.ndarray = field(repr=False)
    """(≤ H,) confidence that goes with each of the scores."""
    sure: np.ndarray = field(repr=False)
    """(H,) confidence of old images without a given label, by classifiers that did not know them."""
    judge_weight: np.ndarray = field(repr=False)
    """(C, D), or (0, D): the classifier that learnt from given labels alone."""
    judge_bias: np.ndarray = field(repr=False)
    """(C,) or (0,)."""
    features: np.ndarray = field(repr=False)
    """(R, D) float16 of some old images; none where no backbone gives them."""
    labels: np.ndarray = field(repr=False)
    """(R,) int64 their given labels, −1 = unlabelled."""

    @property
    def seen(self) -> dict[str, str]:
        """Digest of each file."""
        return {file: row.tobytes().hex() for file, row in zip(self.about.files, self.digests, strict=True)}

    def score(self, features: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Return how sure the model is of images, (n,); features (n, D), probabilities (n, C)."""
        return score_of(probabilities, features, self.judge_weight, self.judge_bias, probabilities.argmax(axis=1))

    def confidence(self, score: np.ndarray) -> np.ndarray:
        """Return the confidence that goes with scores, (n,), as the old images had it."""
        return np.interp(score, self.scores, self.confidences)


def to_bytes(reference: Reference) -> bytes:
    """Return a reference as the content of a file of safetensors."""
    tensors = {name: np.ascontiguousarray(getattr(reference, name)) for name in _tensor_names()}
    return safetensors.numpy.save(tensors, {_HEADER: reference.about.model_dump_json()})


def read(path: Path) -> Reference:
    """Return what ``to_bytes`` wrote.

    Raises:
        UserError: no such file, or a damaged one.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = About.model_validate(json.loads((file.metadata() or {})[_HEADER]))
            return Reference(about=about, **{name: file.get_tensor(name) for name in _tensor_names()})
    except (OSError, SafetensorError, KeyError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"{path}: does not say what a labelling kept of its images: {reason}", path) from error


def _tensor_names() -> list[str]:
    return [each.name for each in fields(Reference) if each.name != "about"]


def score_of(
    probabilities: np.ndarray, features: np.ndarray, weight: np.ndarray, bias: np.ndarray, named: np.ndarray
) -> np.ndarray:
    """Return what the model gives its likeliest class, or the mean of that and what the judge gives the class named."""
    score = probabilities.max(axis=1).astype(np.float64)
    if not len(bias):
        return score
    judged = softmax(features @ weight.T + bias, axis=1)[np.arange(len(named)), named]
    return np.asarray((score + judged) / 2)


def distances(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return distances of images (n, D) from centroids, (n, K)."""
    squares = (features**2).sum(axis=1)[:, None] - 2 * features @ centroids.T + (centroids**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
