"""What each step costs as the pool grows: seconds and memory, each size in a process of its own."""

import gc
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kmpl.benchmarks.speed.memory import forget_peak, peak_memory
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
    """What one step took at one size."""

    images: int
    """In the pool."""
    step: str
    """One of ``STEPS``."""
    seconds: float
    """Wall time."""
    peak: float
    """The process's largest memory during the step, MiB: libraries (some 500 MiB) and what earlier steps left too."""


def settings_for(config: ExperimentConfig, images: int) -> ExperimentConfig:
    """Return the settings of a pool of so many images: views of so many, or of all, of the data set's images.

    Labels are 100 at every size; retraining takes every image once.

    >>> config = settings_for(ExperimentConfig(), 120_000)
    >>> config.pool.views_per_image, steps.retraining(config, 1).epochs
    (2, 1)
    """
    there = len(read(config.dataset, train=True).labels)
    views = -(-images // there)
    pool = {"size": images // views, "views_per_image": views}
    once = {"epochs": 1, "images_per_epoch": 0, "last_round": 1}
    given = {"protocol": "notebook", "labels": 100, "ratio": None}
    return merge(config, given | {"pool": pool, "retrain": once, "pseudo_labels": {"rounds": 1}})


def one_size(config: ExperimentConfig, images: int) -> list[Cost]:
    """Return what each step costs with a pool of so many images, in this process."""
    use_threads(config.threads)
    config, costs = settings_for(config, images), []

    def cost(step: str, work: Callable[[], T]) -> T:
        gc.collect()
        forget_peak()
        begin = time.perf_counter()
        done = work()
        costs.append(Cost(images, step, time.perf_counter() - begin, peak_memory()))
        return done

    pool, _ = cost("pool", lambda: steps.load(config))
    fit = cost("pretrain", lambda: steps.pretrain(StepInput(config=config, pool=pool)))
    first = RoundInput(config=config, pool=pool, number=1, fit=fit)
    voted = cost("cluster and vote", lambda: steps.pseudo_label(first))
    both = costs.pop()
    costs += [Cost(images, step, voted.seconds[step], both.peak) for step in ("embed", "cluster and vote")]
    again = RetrainInput(config=config, pool=pool, number=1, labels=voted.labels)
    cost("retrain, an epoch", lambda: steps.retrain(again))
    return [*costs, Cost(images, "all", sum(c.seconds for c in costs), max(c.peak for c in costs))]


def measure(config: ExperimentConfig, sizes: Sequence[int], told: Callable[[Cost], None]) -> list[Cost]:
    """Return what each step costs at each size; a new process for each, so that none inherits memory.

    Raises:
        UserError: before any work, settings that cannot be had at one of the sizes.
    """
    for images in sizes:
        steps.check(settings_for(config, images))
    costs: list[Cost] = []
    spawned = multiprocessing.get_context("spawn")
    for images in sizes:
        with ProcessPoolExecutor(1, spawned, exit_with_parent) as process:
            costs += process.submit(one_size, config, images).result()
        told(costs[-1])
    return costs


def growth(costs: Sequence[Cost], step: str, from_images: int = 30_000) -> float:
    """Return the power of the pool's size by which a step's time grows, from a size on: 1 is linear.

    At smaller sizes what is the same at all of them (loading, compiling, the labelled images) hides the growth.

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
    """Return all that was measured, for JSON; growth that too few sizes leave unknown is left out.

    >>> numbers([Cost(60_000, step, 1.0, 1) for step in STEPS])["growth"]
    {}
    """
    powers = {step: growth(costs, step) for step in STEPS}
    return {"costs": [vars(cost) for cost in costs], "growth": {s: p for s, p in powers.items() if not math.isnan(p)}}
