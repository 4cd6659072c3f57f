"""What a study is about, and where it is worked on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from kmpl.config.experiment import AFTER
from kmpl.datasets.types import Pool
from kmpl.method.results import Round
from kmpl.tracking.client import Client
from kmpl.training.history import Fit
from kmpl.training.watch import ignore
from kmpl.tuning.pruning import Course
from kmpl.tuning.search_space import Space

Trained = tuple[Fit, tuple[Round, ...]]
Train = Callable[[Mapping[str, Any], Course, int], Trained]
"""Values, who is told, and the seed of the draw → the trained network and its rounds."""


@dataclass(frozen=True)
class Task:
    """What a study is about; all that determines its trials."""

    name: str
    ratio: float
    arm: str
    settings: Mapping[str, Any]
    """Flat: of the experiment that is tuned. A study stands for them."""
    begin: Mapping[str, Any]
    """What earlier studies found, and all trials of this one build on."""
    space: Space
    starts: Sequence[Mapping[str, Any]]
    """Values to try first: those of the settings, then what was best elsewhere."""
    trials: int
    seed: int
    train: Train
    pool: Pool
    draw: int = 0
    """Seed of labels, views and weights in all trials; ``pool`` is drawn by it."""
    further: tuple[int, ...] = ()
    """Seeds on which the best trials meet again."""

    def progress(self, done: int) -> float:
        """Return the share of the two studies' trials that are done when so many of this one's are."""
        return (done / self.trials + (self.arm == AFTER)) / 2


@dataclass(frozen=True)
class Desk:
    """Where studies are worked on."""

    storage: BaseStorage
    client: Client
    mlruns: Path
    sweep: str
    told: Callable[[str, float], None] = ignore
    """Told of each trial in a line, and the share of the two studies' trials that are done."""
    file: Path | None = None
    """In which the studies are kept; None where a server keeps them."""

    @property
    def locks(self) -> Path:
        """Folder of the locks."""
        return self.mlruns / "locks"
