"""Ablation: the effect of each ingredient of the method, which is taken out or put in while all others stay.

Accuracy is measured on training images outside the pool. The test set is not opened: this is how the method was chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from kmpl.benchmarks import options
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.pool import PROTOCOLS, show
from kmpl.datasets.registry import read
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.method import experiment
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.embedding import predict
from kmpl.runtime.devices import use_threads
from kmpl.runtime.seeds import derive
from kmpl.training import metrics

SETTINGS = options.SETTINGS["ingredients"]

OutsideImages = tuple[Tensor, np.ndarray]
"""Images (n, channels, height, width), uint8, that are in no pool, and their classes (n,)."""

WHOLE = "the method"

_VOTE = {"strategy": "cluster-vote", "threshold": 0.0}
"""No label is left out, as in the graph: the strategy is one ingredient, the threshold another."""

OUT: Mapping[str, Mapping[str, Any]] = {
    "clusters (self-training)": {"pseudo_labels": {"strategy": "self-training", "threshold": 0.0}},
    "spreading over clusters (their members vote)": {"pseudo_labels": _VOTE},
    "… and the network's votes": {"pseudo_labels": _VOTE | {"soft_votes": False}},
    "… and over-clustering (10 clusters)": {
        "pseudo_labels": _VOTE | {"soft_votes": False},
        "clustering": {"n_clusters": 10},
    },
    "components of the last convolution": {"clustering": {"maps": 0}},
    "second and third round": {"pseudo_labels": {"rounds": 1}},
    "longer last round": {"retrain": {"last_round": 1}},
    "weights by confidence": {"pseudo_labels": {"weighted": False}},
    "share of given labels": {"pseudo_labels": {"labelled_share": 0.0}},
    "running average of weights": {"pretrain": {"ema": 0.0}, "retrain": {"ema": 0.0}},
    "augmentation": {"augmentation": {"strength": 0.0}},
}
"""Ingredients that are taken out, and the settings that do it."""

IN: Mapping[str, Mapping[str, Any]] = {
    "PCA-whitening, 64 components": {"clustering": {"whiten": 64}},
    "K-means seeded by the given labels": {"clustering": {"algorithm": "seeded"}},
    "agreement with the network (consensus)": {"pseudo_labels": {"strategy": "consensus", "threshold": 0.0}},
    # Propagated shares are small numbers: this leaves out half of the images at first, a tenth at last.
    "confidence of 0.35 or more": {"pseudo_labels": {"graph_threshold": 0.35}},
    "clustering loss to the class": {"retrain": {"clustering_loss": 0.03}},
    "clustering loss to the cluster": {"retrain": {"clustering_loss": 0.03, "clustering_target": "cluster"}},
    "label smoothing of 0.1": {"retrain": {"label_smoothing": 0.1}},
    "LabelSpreading instead of clusters": {"pseudo_labels": {"strategy": "label-spreading", "threshold": 0.0}},
}
"""Ingredients that are put in, and the settings that do it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one change with one seed."""

    change: str
    seed: int
    error: float
    """Error of the last network on training images outside the pool, fraction."""
    right: tuple[float, ...]
    """Share of the assigned labels that are right, round by round."""
    kept: float
    """Share of the unlabelled images that the last round assigned a label to."""
    seconds: float
    """Seconds of all rounds."""


def measure(config: ExperimentConfig, seeds: Sequence[int], steps: Steps) -> Iterator[Outcome]:
    """Yield the outcome of the method and of each change, seed by seed.

    Raises:
        UserError: the pool is the whole data set, so that no image is outside it.
    """
    use_threads(config.threads)
    for seed in seeds:
        drawn = merge(config, {"seed": seed})
        pool, truth = steps.load(drawn)
        images = outside_images(drawn, pool)
        for change, settings in {WHOLE: {}, **OUT, **IN}.items():
            changed = merge(drawn, settings)  # no change affects the pool
            yield outcome(change, changed, pool=pool, truth=truth, outside=images, steps=steps)


NO_TEST_SET = no_test_set("ingredients are not judged by the test")
"""Takes the place of ``evaluate``: the ablation must not open the test set."""


def outcome(
    change: str, config: ExperimentConfig, *, pool: Pool, truth: np.ndarray, outside: OutsideImages, steps: Steps
) -> Outcome:
    """Return the result of one configuration on a pool."""
    inputs = StepInput(config=config, pool=pool, watch=steps.watch)
    start = steps.pretrain(inputs)
    fit, rounds, _ = experiment.run_rounds(inputs, truth=truth, start=start, steps=steps)
    images, labels = outside
    return Outcome(
        change=change,
        seed=config.seed,
        error=1 - metrics.accuracy(predict(fit.network, images).argmax(axis=1), labels),
        right=tuple(round_.diagnostics.accuracy for round_ in rounds),
        kept=rounds[-1].diagnostics.coverage if rounds else 0.0,
        seconds=sum(sum(round_.seconds.values()) for round_ in rounds),
    )


def outside_images(config: ExperimentConfig, pool: Pool) -> OutsideImages:
    """Return the clean training images outside the pool, (n, channels, height, width) uint8, and their classes."""
    size = config.pool.image_size or PROTOCOLS[config.protocol].image_size
    data = read(config.dataset, train=True, size=size)
    used = np.concatenate([pool.sources, pool.validation_sources])
    rest = np.setdiff1d(np.arange(len(data.labels)), used)
    if not len(rest):
        raise UserError(f"pool.size: all {len(data.labels)} training images are in the pool; leave some to judge by")
    return show(data.images[rest], "clean", size=size, seed=derive(config.seed, "outside")), data.labels.numpy()[rest]
