"""What the steps hand to each other: frozen, typed, documented field by field.

Shapes: N images in the pool, V validation images, C classes, K clusters, D feature dimension.
"""

from dataclasses import dataclass, field

import numpy as np

from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.training.history import Fit


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PseudoLabels:
    """Classes for all pool images; a labelled image has its own label, confidence 1 and round 0."""

    classes: np.ndarray
    """(N,) int64, −1 = left out."""
    guesses: np.ndarray
    """(N,) int64: the class that would be assigned if nothing were left out; −1 = none, no label reaches the image."""
    confidence: np.ndarray
    """(N,) float in [0, 1], of the guess."""
    rounds: np.ndarray
    """(N,) int64: round that assigned the present class; 0 = given label, −1 = left out."""
    clusters: Clusters | None = None
    """What voted, where the strategy clusters all images."""

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool: not left out."""
        return self.classes != UNLABELLED

    @property
    def assigned(self) -> int:
        """Unlabelled images that got a pseudo-label."""
        return int((self.rounds > 0).sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class Voted:
    """What embed → cluster → vote gives."""

    features: np.ndarray
    """(N, D') float32: what was clustered."""
    labels: PseudoLabels
    seconds: dict[str, float]
    """Wall time of each step."""
    probabilities: np.ndarray
    """(N, C) what the network thinks of each image."""


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round: embed, cluster, vote, retrain."""

    number: int
    features: np.ndarray = field(repr=False)
    """(N, D) float32: what was clustered."""
    pseudo_labels: PseudoLabels = field(repr=False)
    fit: Fit = field(repr=False)
    diagnostics: Diagnostics
    seconds: dict[str, float]
    """Wall time of each step."""


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
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
        for round_ in self.rounds:
            for step, seconds in round_.seconds.items():
                steps[step] = steps.get(step, 0.0) + seconds
        return steps | {"evaluate": self.evaluation.seconds}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All arms of one experiment, on the same draws."""

    pool: Pool
    arms: dict[str, ArmReport]
