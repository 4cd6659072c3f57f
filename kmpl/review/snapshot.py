"""What follows from the decisions of a review at one moment, and the file that its labels go to. Shapes: N images."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kmpl.datasets.types import UNLABELLED
from kmpl.formats.records import LabelRecord
from kmpl.review import order


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file of labels that the review ends in."""

    path: Path
    format: str = "csv"
    """Name in ``kmpl.formats.registry``."""
    may_replace: frozenset[str] = frozenset()
    """SHA-256 of a content that the review did not write and may replace all the same."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What follows from the decisions so far; N images, in the order of the folder."""

    labels: list[LabelRecord]
    classes: tuple[str, ...]
    """Names: those of the given labels, then the others as they came up."""
    near: np.ndarray
    """(N, k) nearest other images of each."""

    @cached_property
    def numbers(self) -> np.ndarray:
        """(N,) int64 class of each image; −1 = without a label."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number.get(record.label, UNLABELLED) for record in self.labels], dtype=np.int64)

    @cached_property
    def votes(self) -> order.Votes:
        """What the labelled neighbours of each image would call it."""
        return order.votes(self.near, self.numbers, len(self.classes))
