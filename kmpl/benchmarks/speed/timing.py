"""How things are measured: each beside what it is compared with, in turn, in one run."""

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
    """The ratio or share, of each turn."""
    must: float
    aim: float
    unit: str = "×"
    more: bool = True
    """More is better."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What was measured, in the units that its names say."""

    @property
    def median(self) -> float:
        """Of the values."""
        return statistics.median(self.values)

    def reaches(self, goal: float) -> bool:
        """Say whether the median is as good as a goal."""
        return self.median >= goal if self.more else self.median <= goal


@dataclass(frozen=True, eq=False)
class Bench:
    """What is measured with."""

    config: ExperimentConfig
    data: Images
    turns: int

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return pick_device(self.config.device)


def in_turn(turns: int, *work: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Return what each piece of work measures, A B A B …, after one turn that does not count."""
    for one in work:
        one()
    rounds = [[one() for one in work] for _ in range(turns)]
    return tuple(zip(*rounds, strict=True))


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each turn."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def rate(work: Callable[[], int]) -> float:
    """Return images per second of what returns how many images it took."""
    begin = time.perf_counter()
    seen = work()
    return seen / (time.perf_counter() - begin)


def network(bench: Bench, name: str) -> Network:
    """Return a network as kmpl trains it."""
    made = networks.build(name, channels=1, n_classes=len(bench.data.classes), seed=0)
    return to_device(made, bench.config.device, bench.config.precision)


def plain(bench: Bench, name: str) -> Network:
    """Return a network as PyTorch makes it: float32, its default memory layout."""
    made = networks.build(name, channels=1, n_classes=len(bench.data.classes), seed=0)
    return made.to(bench.device).to(memory_format=torch.contiguous_format)
