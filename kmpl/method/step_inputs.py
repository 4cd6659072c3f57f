"""What each step is given: one frozen record a step. Shapes: N images in the pool, D feature dimension, C classes."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Pool
from kmpl.method.results import PseudoLabels
from kmpl.models.network import Network
from kmpl.training.history import Fit
from kmpl.training.watch import Watch


class Embed(Protocol):
    """Turns images into features (N, D) and class probabilities (N, C), as ``kmpl.models.embedding.embed`` does."""

    def __call__(self, network: Network, images: Tensor, *, components: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StepInput:
    """What pretraining and learning without labels are given; the other steps on a pool are given more."""

    config: ExperimentConfig
    pool: Pool
    watch: Watch = field(default_factory=Watch)
    """Who is told of training while it goes on; it changes no number."""

    def for_round(
        self, number: int, fit: Fit, *, previous: PseudoLabels | None = None, features: np.ndarray | None = None
    ) -> "RoundInput":
        """Return what a round begins with, on the same pool."""
        return RoundInput(
            config=self.config,
            pool=self.pool,
            watch=self.watch,
            number=number,
            fit=fit,
            previous=previous,
            features=features,
        )

    def for_retraining(self, number: int, labels: PseudoLabels) -> "RetrainInput":
        """Return what a round ends with, on the same pool."""
        return RetrainInput(config=self.config, pool=self.pool, watch=self.watch, number=number, labels=labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundInput(StepInput):
    """What embedding, clustering and voting are given, which begin a round."""

    number: int
    """Of the round, from 1."""
    fit: Fit
    """Its network embeds the images."""
    previous: PseudoLabels | None = None
    """Pseudo-labels of the round before; K-means starts from their clusters."""
    features: np.ndarray | None = None
    """(N, D) prepared features to cluster instead of the network's."""
    embed: Embed | None = None
    """What embeds; None: ``kmpl.models.embedding.embed``. The store hands in one that looks there first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainInput(StepInput):
    """What retraining is given, which ends a round."""

    number: int
    """Of the round, from 1; 0 = the oracle's only training."""
    labels: PseudoLabels


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateInput:
    """What the test is given."""

    config: ExperimentConfig
    network: Network
