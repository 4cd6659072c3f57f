"""Benchmark of one and two labels a class: drawn at random, or suggested from features learnt without labels."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from kmpl.benchmarks import options
from kmpl.config.experiment import AFTER, ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.pool import divide
from kmpl.datasets.registry import read
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.labelling.active_learning import suggest
from kmpl.method import experiment
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps
from kmpl.runtime.devices import use_threads

PER_CLASS = (1, 2)
WAYS = ("at random", "suggested")
SETTINGS = options.SETTINGS["fewest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """The result of one draw of labels."""

    labels: int
    way: str
    """How the labelled images were chosen: one of ``WAYS``."""
    seed: int
    classes: int
    """Number of classes with at least one label."""
    errors: dict[str, float]
    """Test error by arm, fractions."""
    seconds: float
    """Seconds of the arm pseudo-label, without the pretext training."""


def measure(config: ExperimentConfig, seeds: Sequence[int], steps: Steps) -> Iterator[Draw]:
    """Yield both ways with one label a class and with two, seed by seed; both ways share pool and seeds.

    All labels are trained on: nothing is chosen by validation, so no label is held out for it.
    """
    use_threads(config.threads)
    for seed in seeds:
        n_classes = len(read(config.dataset, train=True).classes)  # as many labels; the rest of the pool has none
        drawn = merge(config, {"seed": seed, "ratio": None, "labels": n_classes})
        pool, truth = steps.load(drawn)
        features = steps.pretext(StepInput(config=drawn, pool=pool, watch=steps.watch))
        for labels in (n * len(pool.classes) for n in PER_CLASS):
            few = merge(drawn, {"labels": labels})
            for way in WAYS:
                to_label = _at_random(few, pool) if way == "at random" else _suggested(features, labels, seed)
                yield _draw(few, pool, truth, to_label=to_label, features=features, way=way, steps=steps)


def relabelled(pool: Pool, truth: np.ndarray, to_label: np.ndarray) -> tuple[Pool, np.ndarray]:
    """Return the pool with the labels of ``to_label`` (n,) only, and the new order (N,) of its images: these first."""
    order = np.concatenate([np.sort(to_label), np.setdiff1d(np.arange(len(truth)), to_label)])
    labels = np.full(len(truth), UNLABELLED)
    labels[: len(to_label)] = truth[order[: len(to_label)]]
    return replace(
        pool,
        images=pool.images[torch.as_tensor(order)],
        labels=labels,
        sources=pool.sources[order],
        views=tuple(pool.views[i] for i in order),
        digest=hashlib.sha256(pool.digest.encode() + order.astype(np.int64).tobytes()).hexdigest(),
    ), order


def _draw(
    config: ExperimentConfig,
    pool: Pool,
    truth: np.ndarray,
    *,
    to_label: np.ndarray,
    features: np.ndarray,
    way: str,
    steps: Steps,
) -> Draw:
    new_pool, order = relabelled(pool, truth, to_label)
    new_steps = replace(steps, load=lambda _: (new_pool, truth[order]), pretext=lambda _: features[order])
    arms = experiment.run(config, new_steps).arms
    return Draw(
        labels=len(to_label),
        way=way,
        seed=config.seed,
        classes=len(np.unique(truth[to_label])),
        errors={name: 1 - arm.evaluation.accuracy for name, arm in arms.items()},
        seconds=sum(arms[AFTER].seconds.values()),
    )


def _at_random(config: ExperimentConfig, pool: Pool) -> np.ndarray:
    """Return the pool indices of the images that the protocol would label: as many of each class, at random."""
    _, (labelled, validation, _) = divide(config)
    return np.flatnonzero(np.isin(pool.sources, np.concatenate([labelled, validation])))


def _suggested(features: np.ndarray, labels: int, seed: int) -> np.ndarray:
    return suggest(features, np.full(len(features), UNLABELLED), budget=labels, seed=seed).images
