"""The specification of a study, and the stores that it writes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from kmpl.config.experiment import AFTER
from kmpl.datasets.types import Pool
from kmpl.method.results import Round
from kmpl.runtime.locks import Locks
from kmpl.tracking.client import Client
from kmpl.training.history import Fit
from kmpl.training.watch import ignore
from kmpl.tuning.pruning import TrialProgress
from kmpl.tuning.search_space import Space

TrainTrial = Callable[[Mapping[str, Any], TrialProgress, int], tuple[Fit, tuple[Round, ...]]]
"""Values of a trial, its progress, and the seed of the draw → the trained network and its rounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySpec:
    """Everything that determines the trials of a study."""

    name: str
    ratio: float
    arm: str
    settings: Mapping[str, Any]
    """Settings of the experiment that is tuned, by dotted name. A study belongs to one set of them."""
    base_values: Mapping[str, Any]
    """Best values of earlier studies; all trials of this study build on them."""
    space: Space
    first_values: Sequence[Mapping[str, Any]]
    """Values of the first trials: those of the settings, then the best of other studies."""
    trials: int
    """Number of trials of the study, over all runs and processes."""
    seed: int
    """Seed of the sampler."""
    train: TrainTrial
    pool: Pool
    draw_seed: int = 0
    """Seed of labels, views and weights in all trials; it also drew ``pool``."""
    further_seeds: tuple[int, ...] = ()
    """Seeds of the draws on which the best trials are re-evaluated."""

    def progress(self, finished: int) -> float:
        """Return the finished share of both studies' trials.

        Args:
            finished: number of finished trials of this study.
        """
        return (finished / self.trials + (self.arm == AFTER)) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyContext:
    """The stores of a study, and the sweep that it belongs to."""

    storage: BaseStorage
    client: Client
    locks: Locks
    """By which processes agree on trials."""
    mlruns: Path
    sweep: str
    on_trial: Callable[[str, float], None] = ignore
    """Receives one line about each finished trial, and the finished share of both studies' trials."""
    studies_file: Path | None = None
    """File of the studies; None if a server stores them."""
