"""Timing of comparisons: both sides are measured alternately, in one run."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Images
from kmpl.models import registry as networks
from kmpl.models.network import Network
from kmpl.runtime.devices import pick_device, to_device


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    values: tuple[float, ...]
    """The ratio or share, of each repeat."""
    must: float
    aim: float
    unit: str = "×"
    more: bool = True
    """Higher values are better."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Measurements that the ratio is made of, by name with unit."""

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)

    def reaches(self, goal: float) -> bool:
        """Say whether the median is as good as a goal."""
        return self.median >= goal if self.more else self.median <= goal


@dataclass(frozen=True, eq=False)
class Bench:
    """The settings, images and number of repeats of all measurements."""

    config: ExperimentConfig
    data: Images
    repeats: int

    @property
    def device(self) -> torch.device:
        """Device that computes."""
        return pick_device(self.config.device)


def alternate(repeats: int, *measurements: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Return the values of each measurement, taken alternately (A B A B …) after one repeat that does not count."""
    for measure in measurements:
        measure()
    values = [[measure() for measure in measurements] for _ in range(repeats)]
    return tuple(zip(*values, strict=True))


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each repeat."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def rate(work: Callable[[], int]) -> float:
    """Return images per second of a piece of work that returns its number of images."""
    begin = time.perf_counter()
    n_images = work()
    return n_images / (time.perf_counter() - begin)


def network(bench: Bench, name: str) -> Network:
    """Return a network as kmpl trains it."""
    built = networks.build(name, channels=1, n_classes=len(bench.data.classes), seed=0)
    return to_device(built, bench.config.device, bench.config.precision)


def default_network(bench: Bench, name: str) -> Network:
    """Return a network with PyTorch's defaults: float32, contiguous memory layout."""
    built = networks.build(name, channels=1, n_classes=len(bench.data.classes), seed=0)
    return built.to(bench.device).to(memory_format=torch.contiguous_format)
