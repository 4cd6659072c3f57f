"""The effect of each fault of the reference notebook: one function a question, of settings with ratio and seed.

The constants are the notebook's (preset ``notebook``); its network may be replaced by one that trains in minutes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm, merge
from kmpl.datasets.pool import PROTOCOLS, show
from kmpl.datasets.registry import read
from kmpl.datasets.test_set import open_test_set
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.images.transforms import flip, to_float, to_uint8
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.kmeans import kmeans
from kmpl.method.pseudo_labels import Evidence, by_prototypes
from kmpl.method.step_inputs import EvaluateInput, StepInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import cluster_seed
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.models.network import Network
from kmpl.runtime.devices import to_device, use_threads
from kmpl.runtime.seeds import derive
from kmpl.training import examples, loop, metrics

Numbers = dict[str, float]
"""Measurements by name: fractions or counts."""


def leak(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Retrain on the labels that the notebook assigned, and on the true labels that it used by mistake."""
    arms = ("labelled-only", "notebook", "oracle")
    report = experiment.run(merge(config, {"arms": arms}), steps)
    accuracies = {arm: report.arms[arm].evaluation.accuracy for arm in arms}
    return accuracies | {"pseudo-labels right": report.arms["notebook"].rounds[-1].diagnostics.accuracy}


def second_kmeans(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Classify unlabelled images by the nearest prototypes at once, and cluster by cluster, as the notebook does."""
    config = for_arm(config, "notebook")
    pool, _ = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    hidden, knn = _prototypes(config, pool, pool.images, network)
    clusters = kmeans(hidden, config.clustering.n_prototypes, seed=cluster_seed(config, 1))
    with threadpool_limits(1):
        at_once = knn.predict(hidden)
        one_by_one = np.empty_like(at_once)
        for cluster in range(len(clusters.centroids)):
            members = clusters.assignment == cluster
            one_by_one[members] = knn.predict(hidden[members])
    return {
        "images": float(len(hidden)),
        "clusters": float(len(clusters.centroids)),
        "labels that differ": float((at_once != one_by_one).sum()),
    }


def other_draw(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Classify features of the training images, and of another draw of their views, as the notebook does."""
    config = for_arm(config, "notebook")
    pool, truth = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    data = read(config.dataset, train=True)
    views = np.array(pool.views)
    seed = derive(config.seed, "another draw")
    other_images = pool.images.clone()
    for view in np.unique(views):
        of_view = np.flatnonzero(views == view)
        other_images[of_view] = show(
            data.images[pool.sources[of_view]], str(view), size=other_images.shape[-1], seed=seed
        )

    def classify(images: torch.Tensor) -> np.ndarray:
        hidden, knn = _prototypes(config, pool, images, network)
        return np.asarray(knn.predict(hidden))

    same = classify(pool.images)
    other = classify(other_images)
    truth = truth[~pool.labelled]
    return {
        "right, the same draw": float((same == truth).mean()),
        "right, another draw": float((other == truth).mean()),
        "labels that differ": float((same != other).mean()),
    }


def siblings(config: ExperimentConfig, steps: Steps) -> Numbers:  # noqa: ARG001  (all questions have the same signature)
    """Compare unlabelled images whose other view is labelled with images that the network has not seen in any view.

    The pool is drawn as the notebook draws it: it may hold a digit in up to three views.
    """
    rules = PROTOCOLS["notebook"]
    data = read(config.dataset, train=True)
    rng = np.random.default_rng(derive(config.seed, "siblings"))
    n_digits = len(data.labels)
    drawn = rng.permutation(n_digits * len(rules.views))[: config.pool.size or rules.pool_size]
    sources = drawn % n_digits
    views = drawn // n_digits
    images = torch.empty((len(drawn), data.images.shape[1], rules.image_size, rules.image_size), dtype=torch.uint8)
    for i, view in enumerate(rules.views):
        images[views == i] = show(
            data.images[sources[views == i]], view, size=rules.image_size, seed=derive(config.seed, view)
        )
    labelled = np.arange(len(drawn)) < round((config.ratio or 0.1) * len(drawn))
    true = data.labels.numpy()[sources]
    has_sibling = np.isin(sources[~labelled], sources[labelled])
    if not has_sibling.any():
        raise UserError(f"pool.size {len(drawn)}: no unlabelled view has a labelled sibling; give more")
    network = _train(config, images[labelled], true[labelled])
    right = embedding.predict(network, images[~labelled]).argmax(axis=1) == true[~labelled]
    return {
        "share with a labelled sibling": float(has_sibling.mean()),
        "accuracy with": float(right[has_sibling].mean()),
        "accuracy without": float(right[~has_sibling].mean()),
    }


def best_epoch(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Evaluate on the test set after every epoch, as the notebook does, and choose the best epoch by it."""
    pool, _ = steps.load(config)
    accuracies: list[float] = []

    def after_epoch(network: Network, *_: object) -> None:
        accuracies.append(evaluate(EvaluateInput(config=config, network=network)).accuracy)

    _train(config, pool.images[pool.labelled], pool.labels[pool.labelled], after_epoch)
    numbers = {f"epoch {i}": accuracy for i, accuracy in enumerate(accuracies, start=1)}
    return numbers | {"last": accuracies[-1], "best on test": max(accuracies)}


def flips(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Flip the clean test images as the blur and noise views do, and count the predicted class of each digit."""
    pool, _ = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    test = open_test_set(config)
    images = to_float(test.views["clean"])
    n = len(test.labels)
    numbers: Numbers = {}
    for name, mirrored, upside_down in (
        ("as it is", False, False),
        ("mirrored", True, False),
        ("upside-down", False, True),
        ("both", True, True),
    ):
        flipped = to_uint8(flip(images, torch.full((n,), mirrored), torch.full((n,), upside_down)))
        predicted = embedding.predict(network, flipped).argmax(axis=1)
        numbers[name] = metrics.accuracy(predicted, test.labels)
        table = metrics.confusion(predicted, test.labels, len(pool.classes))
        for true, guess in np.argwhere((table > 0) & ~np.eye(len(table), dtype=bool)):
            numbers[f"{name}: {pool.classes[true]} as {pool.classes[guess]}"] = table[true, guess] / table[true].sum()
    return numbers


def last_batch(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Compute the test loss over all images, and as the notebook does: last batch over number of batches."""
    pool, _ = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    test = open_test_set(config)
    probabilities = np.concatenate([embedding.predict(network, images) for images in test.views.values()])
    true = np.tile(test.labels, len(test.views))
    batch_size = config.pretrain.batch_size
    n_batches = -(-len(true) // batch_size)
    order = np.random.default_rng(derive(config.seed, "batches")).permutation(len(true))
    last = order[(n_batches - 1) * batch_size :]
    return {
        "over all images": metrics.log_loss(probabilities, true),
        "as the notebook": metrics.log_loss(probabilities[last], true[last]) / n_batches,
    }


def _prototypes(
    config: ExperimentConfig, pool: Pool, images: torch.Tensor, network: Network
) -> tuple[np.ndarray, KNeighborsClassifier]:
    """Return the features (U, D) of the unlabelled images and the notebook's classifier, fitted to prototypes."""
    features, probabilities = embedding.embed(network, images)
    evidence = Evidence(
        features=features,
        probabilities=probabilities,
        labels=pool.labels,
        clustering=config.clustering,
        settings=config.pseudo_labels,
        seed=cluster_seed(config, 1),
    )
    return features[~pool.labelled], by_prototypes(evidence)


def _train(
    config: ExperimentConfig,
    images: torch.Tensor,
    labels: np.ndarray,
    after_epoch: Callable[..., None] | None = None,
) -> Network:
    """Return a network trained as pretraining is; ``after_epoch`` gets it after each epoch."""
    use_threads(config.threads)
    seed = derive(config.seed, "pretrain")
    network = networks.build(
        config.network, channels=images.shape[1], n_classes=int(labels.max()) + 1, seed=derive(seed, "weights")
    )
    network = to_device(network, config.device, config.precision)
    return loop.fit(
        network,
        examples.examples(images, labels),
        config.pretrain,
        augmentation=config.augmentation,
        seed=seed,
        validation=(images[:0], labels[:0]),
        on_epoch=partial(after_epoch, network) if after_epoch else None,
    ).network


QUESTIONS: Mapping[str, Callable[[ExperimentConfig, Steps], Numbers]] = {
    "leak": leak,
    "second K-means": second_kmeans,
    "other draw": other_draw,
    "siblings": siblings,
    "best epoch": best_epoch,
    "last batch": last_batch,
    "flips": flips,
}


@dataclass(frozen=True)
class Answer:
    """The answer to one question at one labelled ratio with one seed."""

    question: str
    ratio: float
    seed: int
    numbers: Numbers


def ask(config: ExperimentConfig, ratios: Sequence[float], seeds: Sequence[int], steps: Steps) -> Iterator[Answer]:
    """Yield the answer to each question, for each labelled ratio and seed."""
    for seed, ratio in itertools.product(seeds, ratios):
        drawn = merge(config, {"ratio": ratio, "seed": seed})
        for question, answer in QUESTIONS.items():
            yield Answer(question, ratio, seed, answer(drawn, steps))
