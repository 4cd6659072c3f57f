"""What the steps hand to each other: frozen, typed, documented field by field.

Shapes: N images in the pool, V validation images, C classes, K clusters, D feature dimension.
"""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from kmpl.networks import Network

LEFT_OUT = -1  # scikit-learn's own mark for "not labelled"


@dataclass(frozen=True)
class Images:
    """Images with their labels, as a data set gives them."""

    images: Tensor
    """(N, channels, height, width), uint8."""
    labels: Tensor
    """(N,), int64."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Which numbers were black and white in files of more than 8 bits, by kind of picture."""


@dataclass(frozen=True)
class Pool:
    """The training images as the method may see them: true labels of unlabelled images are not in here."""

    images: Tensor
    """(N, channels, height, width), uint8: the labelled images first, then the unlabelled ones."""
    labels: np.ndarray
    """(N,) int64: given labels, −1 where unlabelled."""
    validation_images: Tensor
    """(V, channels, height, width), uint8, out of the labelled budget."""
    validation_labels: np.ndarray
    """(V,) int64."""
    sources: np.ndarray
    """(N,) index of each image in the data set."""
    validation_sources: np.ndarray
    """(V,) index of each validation image in the data set."""
    views: tuple[str, ...]
    """(N,) the view each image is seen in."""
    classes: tuple[str, ...]
    """Names of the C classes."""
    raw_shape: tuple[int, int, int]
    """Channels, height and width of an image as the data set stores it, before any resizing."""
    digest: str
    """SHA-256 of images, sources, views and split."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Which numbers were black and white in files of more than 8 bits, by kind of picture."""

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: where a label is given."""
        return self.labels != LEFT_OUT

    @property
    def budget(self) -> int:
        """Distinct images a person had to label: labelled and validation."""
        return len(np.unique(self.sources[self.labelled])) + len(np.unique(self.validation_sources))


@dataclass(frozen=True)
class Epoch:
    """One pass of training."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss, nats."""
    accuracy: float
    """Accuracy on the training batches as they were augmented, against the labels trained on; fraction."""
    validation_loss: float
    """Mean cross-entropy on validation, nats; NaN where there is no validation image."""
    validation_accuracy: float
    """Fraction; NaN where there is no validation image."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    """Wall time, validation included."""


@dataclass(frozen=True)
class Fit:
    """A trained network and how it came about."""

    network: Network
    history: tuple[Epoch, ...]
    kept_epoch: int
    """The epoch whose weights are in the network."""
    stop_reason: str
    """Why training stopped, for people."""
    images: int
    """Images in the training set, repeated ones counted as often as they come."""
    seconds: float

    @property
    def validation_accuracy(self) -> float:
        """Of the epoch that was kept; NaN where there is no validation image."""
        return self.history[self.kept_epoch - 1].validation_accuracy

    @property
    def validation_loss(self) -> float:
        """Of the epoch that was kept, nats; NaN where there is no validation image."""
        return self.history[self.kept_epoch - 1].validation_loss


@dataclass(frozen=True)
class Clusters:
    """A partition of points; no cluster is empty."""

    assignment: np.ndarray
    """(N,) int64 in [0, K)."""
    centroids: np.ndarray
    """(K, D)."""
    inertia: float
    """Sum of squared distances to the assigned centroid."""

    @property
    def sizes(self) -> np.ndarray:
        """(K,) points per cluster."""
        return np.bincount(self.assignment, minlength=len(self.centroids))


@dataclass(frozen=True)
class PseudoLabels:
    """Classes for all pool images; a labelled image has its own label, confidence 1 and round 0."""

    classes: np.ndarray
    """(N,) int64, −1 = left out."""
    guesses: np.ndarray
    """(N,) int64: the class that would be assigned if nothing were left out."""
    confidence: np.ndarray
    """(N,) float in [0, 1], of the guess."""
    rounds: np.ndarray
    """(N,) int64: round that assigned the present class; 0 = given label, −1 = left out."""
    clusters: Clusters | None = None
    """What voted, where the strategy clusters all images."""

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool: not left out."""
        return self.classes != LEFT_OUT

    @property
    def assigned(self) -> int:
        """Unlabelled images that got a pseudo-label."""
        return int((self.rounds > 0).sum())


@dataclass(frozen=True)
class Voted:
    """What embed → cluster → vote gives."""

    features: np.ndarray
    """(N, D') float32: what was clustered."""
    labels: PseudoLabels
    seconds: dict[str, float]
    """Wall time of each step."""
    probabilities: np.ndarray
    """(N, C) what the network thinks of each image."""


@dataclass(frozen=True)
class Diagnostics:
    """What the true labels say about pseudo-labels. Shown, never used."""

    accuracy: float
    """Share of the assigned pseudo-labels that are right; NaN if none was assigned."""
    coverage: float
    """Share of the unlabelled images that got a pseudo-label."""
    counts: tuple[int, ...]
    """(C,) pseudo-labels assigned per class."""
    class_accuracy: tuple[float, ...]
    """(C,) share of the pseudo-labels of each class that are right; NaN where a class got none."""
    purity: float
    """Share of the images that share their cluster's most frequent true class; NaN without clusters."""
    right: np.ndarray = field(repr=False)
    """(unlabelled,) bool: is the guess right, with ``confidence`` beside it."""
    confidence: np.ndarray = field(repr=False)
    """(unlabelled,) confidence of each guess."""


@dataclass(frozen=True)
class Round:
    """One turn of embed, cluster, vote, retrain."""

    number: int
    features: np.ndarray = field(repr=False)
    """(N, D) float32: what was clustered."""
    pseudo_labels: PseudoLabels = field(repr=False)
    fit: Fit = field(repr=False)
    diagnostics: Diagnostics
    seconds: dict[str, float]
    """Wall time of each step."""


@dataclass(frozen=True)
class Labelling:
    """What the method makes of images of which nobody knows the rest of the labels."""

    pretrained: Fit
    rounds: tuple[Round, ...]
    fit: Fit
    """The last network."""
    vote: Voted
    """What the last network's features vote for: the labels in the end."""
    stop_reason: str
    """Why there was no further round."""


@dataclass(frozen=True)
class Evaluation:
    """One opening of the test set. Accuracies are fractions."""

    accuracy: float
    """Mean over the views."""
    views: dict[str, float]
    """Accuracy per view."""
    class_accuracy: tuple[float, ...]
    """(C,) recall per class over all views."""
    confusion: np.ndarray
    """(C, C) counts over all views: true class by predicted class."""
    calibration_error: float
    """Expected calibration error, 15 bins of equal width."""
    log_loss: float
    """Mean cross-entropy, nats."""
    seconds: float


@dataclass(frozen=True)
class ArmReport:
    """One method's way from labels to test."""

    arm: str
    pretrained: Fit | None
    """What the arm started from; None for the oracle."""
    rounds: tuple[Round, ...]
    """Empty for labelled-only and oracle."""
    fit: Fit
    """The network that was evaluated."""
    evaluation: Evaluation
    stop_reason: str
    """Why there was no further round."""

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time per step, pretraining included: what this arm costs when it is run alone."""
        steps = {"pretrain": self.pretrained.seconds} if self.pretrained else {"train": self.fit.seconds}
        for turn in self.rounds:
            for step, seconds in turn.seconds.items():
                steps[step] = steps.get(step, 0.0) + seconds
        return steps | {"evaluate": self.evaluation.seconds}


@dataclass(frozen=True)
class Report:
    """All arms of one experiment, on the same draws."""

    pool: Pool
    arms: dict[str, ArmReport]
