"""Benchmark of cost: time and memory of each step as the pool grows, each size in a process of its own."""

import gc
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kmpl.benchmarks.speed.memory import peak_memory, reset_peak
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.registry import read
from kmpl.jobs.workers import exit_with_parent
from kmpl.method import steps
from kmpl.method.step_inputs import RetrainInput, RoundInput, StepInput
from kmpl.runtime.devices import use_threads

T = TypeVar("T")

STEPS = ("pool", "pretrain", "embed", "cluster and vote", "retrain, an epoch", "all")


@dataclass(frozen=True)
class Cost:
    """Time and memory of one step at one size of the pool."""

    images: int
    """Number of images in the pool."""
    step: str
    """One of ``STEPS``."""
    seconds: float
    """Wall time."""
    peak: float
    """Peak memory of the process during the step, MiB, with libraries (some 500 MiB) and data of earlier steps."""


def settings_for(config: ExperimentConfig, images: int) -> ExperimentConfig:
    """Return the settings for a pool of ``images`` images: views, if the data set has fewer images.

    Every size has 100 labels; retraining uses every image once.

    >>> config = settings_for(ExperimentConfig(), 120_000)
    >>> config.pool.views_per_image, steps.retraining(config, 1).epochs
    (2, 1)
    """
    available = len(read(config.dataset, train=True).labels)
    views = -(-images // available)
    pool = {"size": images // views, "views_per_image": views}
    one_epoch = {"epochs": 1, "images_per_epoch": 0, "last_round": 1}
    labels = {"protocol": "notebook", "labels": 100, "ratio": None}
    return merge(config, labels | {"pool": pool, "retrain": one_epoch, "pseudo_labels": {"rounds": 1}})


def one_size(config: ExperimentConfig, images: int) -> list[Cost]:
    """Return the cost of each step with a pool of ``images`` images, measured in this process."""
    use_threads(config.threads)
    config = settings_for(config, images)
    costs: list[Cost] = []

    def cost(step: str, work: Callable[[], T]) -> T:
        gc.collect()
        reset_peak()
        begin = time.perf_counter()
        result = work()
        costs.append(Cost(images, step, time.perf_counter() - begin, peak_memory()))
        return result

    pool, _ = cost("pool", lambda: steps.load(config))
    fit = cost("pretrain", lambda: steps.pretrain(StepInput(config=config, pool=pool)))
    first = RoundInput(config=config, pool=pool, number=1, fit=fit)
    voted = cost("cluster and vote", lambda: steps.pseudo_label(first))
    both = costs.pop()
    costs += [Cost(images, step, voted.seconds[step], both.peak) for step in ("embed", "cluster and vote")]
    again = RetrainInput(config=config, pool=pool, number=1, labels=voted.labels)
    cost("retrain, an epoch", lambda: steps.retrain(again))
    return [*costs, Cost(images, "all", sum(c.seconds for c in costs), max(c.peak for c in costs))]


def measure(config: ExperimentConfig, sizes: Sequence[int], on_size: Callable[[Cost], None]) -> list[Cost]:
    """Return the cost of each step at each size; each size has a new process, so that none inherits memory.

    ``on_size`` receives the total cost of each size as soon as it is measured.

    Raises:
        UserError: before any work, if one of the sizes is impossible.
    """
    for images in sizes:
        steps.check(settings_for(config, images))
    costs: list[Cost] = []
    spawned = multiprocessing.get_context("spawn")
    for images in sizes:
        with ProcessPoolExecutor(1, spawned, exit_with_parent) as process:
            costs += process.submit(one_size, config, images).result()
        on_size(costs[-1])
    return costs


def growth(costs: Sequence[Cost], step: str, from_images: int = 30_000) -> float:
    """Return the exponent of the pool's size by which a step's time grows, from a size on: 1 is linear.

    At smaller sizes the constant cost (loading, compiling, the labelled images) hides the growth.

    >>> growth([Cost(n, "all", n**2 / 1e9, 1) for n in (30_000, 60_000, 120_000)], "all")
    2.0
    """
    grown = [cost for cost in costs if cost.step == step and cost.images >= from_images]
    x, y = (np.log([getattr(cost, name) for cost in grown]) for name in ("images", "seconds"))
    return round(float(np.polyfit(x, y, 1)[0]), 2) if len(grown) > 1 else float("nan")


def by_step(costs: Sequence[Cost]) -> Mapping[str, list[Cost]]:
    """Return the costs of each step, by rising size."""
    return {s: sorted((c for c in costs if c.step == s), key=lambda c: c.images) for s in STEPS}


def numbers(costs: Sequence[Cost]) -> dict[str, Any]:
    """Return all measurements for JSON; the growth is left out if there are too few sizes for it.

    >>> numbers([Cost(60_000, step, 1.0, 1) for step in STEPS])["growth"]
    {}
    """
    powers = {step: growth(costs, step) for step in STEPS}
    return {"costs": [vars(cost) for cost in costs], "growth": {s: p for s, p in powers.items() if not math.isnan(p)}}
