"""One and two labels a class: drawn at random, or chosen by the method from what the images alone have taught it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kmpl.config.experiment import AFTER, BEFORE, ExperimentConfig
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
SETTINGS: dict[str, Any] = {"protocol": "literature", "arms": (BEFORE, AFTER)}


@dataclass(frozen=True)
class Draw:
    """What was learnt from a few labels, once."""

    labels: int
    way: str
    """How the labelled images were chosen."""
    seed: int
    classes: int
    """That have a label at all."""
    errors: dict[str, float]
    """On the test, by arm, fractions."""
    seconds: float
    """Of the arm pseudo-label, without the features that were learnt first."""


def measure(config: ExperimentConfig, seeds: Sequence[int], steps: Steps) -> Iterator[Draw]:
    """Yield both ways with one label a class and with two, seed by seed; the same pool and seeds for both.

    All labels are trained on: nothing is chosen by validation, so none is kept for it.
    """
    use_threads(config.threads)
    for seed in seeds:
        n_classes = len(read(config.dataset, train=True).classes)  # so many labels: all other images have none
        drawn = merge(config, {"seed": seed, "ratio": None, "labels": n_classes})
        pool, truth = steps.load(drawn)
        known = steps.pretext(StepInput(config=drawn, pool=pool, watch=steps.watch))
        for labels in (n * len(pool.classes) for n in PER_CLASS):
            asked = merge(drawn, {"labels": labels})
            for way in WAYS:
                chosen = _at_random(asked, pool) if way == "at random" else _suggested(known, labels, seed)
                yield _draw(asked, pool, truth, chosen, known, way, steps)


def relabelled(pool: Pool, truth: np.ndarray, chosen: np.ndarray) -> tuple[Pool, np.ndarray]:
    """Return the pool with the labels of ``chosen`` (n,) alone, and how its images (N,) are ordered: these first."""
    order = np.concatenate([np.sort(chosen), np.setdiff1d(np.arange(len(truth)), chosen)])
    labels = np.full(len(truth), UNLABELLED)
    labels[: len(chosen)] = truth[order[: len(chosen)]]
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
    chosen: np.ndarray,
    known: np.ndarray,
    way: str,
    steps: Steps,
) -> Draw:
    few, order = relabelled(pool, truth, chosen)
    given = replace(steps, load=lambda _: (few, truth[order]), pretext=lambda _: known[order])
    arms = experiment.run(config, given).arms
    return Draw(
        labels=len(chosen),
        way=way,
        seed=config.seed,
        classes=len(np.unique(truth[chosen])),
        errors={name: 1 - arm.evaluation.accuracy for name, arm in arms.items()},
        seconds=sum(arms[AFTER].seconds.values()),
    )


def _at_random(config: ExperimentConfig, pool: Pool) -> np.ndarray:
    """Return where the images lie that the protocol would have labelled: as many of each class, at random."""
    _, (labelled, validation, _) = divide(config)
    return np.flatnonzero(np.isin(pool.sources, np.concatenate([labelled, validation])))


def _suggested(known: np.ndarray, labels: int, seed: int) -> np.ndarray:
    return suggest(known, np.full(len(known), UNLABELLED), budget=labels, seed=seed).images
