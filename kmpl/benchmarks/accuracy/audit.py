"""What each fault of the reference notebook is worth, measured: one function a question, each of settings and a seed.

The notebook's constants (preset ``notebook``) are kept; its network may be changed for one that takes minutes, not
days.
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
from kmpl.training.history import Epoch

Numbers = dict[str, float]
"""What was measured, by name: fractions or counts."""


def leak(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Retrain on the labels that the notebook assigned, and on the true ones that it retrained on by mistake."""
    arms = ("labelled-only", "notebook", "oracle")
    report = experiment.run(merge(config, {"arms": arms}), steps)
    found = {arm: report.arms[arm].evaluation.accuracy for arm in arms}
    return found | {"pseudo-labels right": report.arms["notebook"].rounds[-1].diagnostics.accuracy}


def second_kmeans(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Give unlabelled images the nearest prototypes' class at once, and cluster by cluster, as the notebook does."""
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
    """Take features of the images as training saw them, and of another draw of their views, as the notebook does."""
    config = for_arm(config, "notebook")
    pool, truth = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    data, views = read(config.dataset, train=True), np.array(pool.views)
    again = pool.images.clone()
    for view in np.unique(views):
        where, seed = np.flatnonzero(views == view), derive(config.seed, "another draw")
        again[where] = show(data.images[pool.sources[where]], str(view), size=again.shape[-1], seed=seed)
    named = []
    for images in (pool.images, again):
        hidden, knn = _prototypes(config, pool, images, network)
        named.append(knn.predict(hidden))
    right = [float((labels == truth[~pool.labelled]).mean()) for labels in named]
    differ = float((named[0] != named[1]).mean())
    return {"right, the same draw": right[0], "right, another draw": right[1], "labels that differ": differ}


def siblings(config: ExperimentConfig, steps: Steps) -> Numbers:  # noqa: ARG001  (all questions take the same)
    """Draw the notebook's pool, in which one digit may be seen up to three times; compare unlabelled images of which
    another view is labelled with those that the network has not seen in any view."""
    rules, data = PROTOCOLS["notebook"], read(config.dataset, train=True)
    rng, n = np.random.default_rng(derive(config.seed, "siblings")), len(data.labels)
    drawn = rng.permutation(n * len(rules.views))[: config.pool.size or rules.pool_size]
    sources, views = drawn % n, drawn // n
    images = torch.empty((len(drawn), data.images.shape[1], rules.image_size, rules.image_size), dtype=torch.uint8)
    for i, view in enumerate(rules.views):
        images[views == i] = show(
            data.images[sources[views == i]], view, size=rules.image_size, seed=derive(config.seed, view)
        )
    labelled = np.arange(len(drawn)) < round((config.ratio or 0.1) * len(drawn))
    true, seen = data.labels.numpy()[sources], np.isin(sources[~labelled], sources[labelled])
    if not seen.any():
        raise UserError(f"pool.size {len(drawn)}: no unlabelled view has a labelled sibling; give more")
    network = _trained(config, images[labelled], true[labelled])
    right = embedding.predict(network, images[~labelled]).argmax(axis=1) == true[~labelled]
    return {
        "share with a labelled sibling": float(seen.mean()),
        "accuracy with": float(right[seen].mean()),
        "accuracy without": float(right[~seen].mean()),
    }


def best_epoch(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Look at the test after every epoch, as the notebook does, and choose the best one by it."""
    pool, _ = steps.load(config)
    seen: list[float] = []

    def look(network: Network, *_: object) -> None:
        seen.append(evaluate(EvaluateInput(config=config, network=network)).accuracy)

    _trained(config, pool.images[pool.labelled], pool.labels[pool.labelled], look)
    numbers = {f"epoch {i}": accuracy for i, accuracy in enumerate(seen, start=1)}
    return numbers | {"last": seen[-1], "best on test": max(seen)}


def flips(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Turn the clean test images as the blur and noise views do, and count what becomes of each digit."""
    pool, _ = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    test = open_test_set(config)
    images, n = to_float(test.views["clean"]), len(test.labels)
    numbers: Numbers = {}
    for name, sideways, upside in (
        ("as it is", False, False),
        ("mirrored", True, False),
        ("upside-down", False, True),
        ("both", True, True),
    ):
        turned = to_uint8(flip(images, torch.full((n,), sideways), torch.full((n,), upside)))
        predicted = embedding.predict(network, turned).argmax(axis=1)
        numbers[name] = metrics.accuracy(predicted, test.labels)
        table = metrics.confusion(predicted, test.labels, len(pool.classes))
        for true, said in np.argwhere((table > 0) & ~np.eye(len(table), dtype=bool)):
            numbers[f"{name}: {pool.classes[true]} as {pool.classes[said]}"] = table[true, said] / table[true].sum()
    return numbers


def last_batch(config: ExperimentConfig, steps: Steps) -> Numbers:
    """Compute the test's loss over all its images, and as the notebook does: the last batch's over the batches."""
    pool, _ = steps.load(config)
    network, test = steps.pretrain(StepInput(config=config, pool=pool)).network, open_test_set(config)
    probabilities = np.concatenate([embedding.predict(network, images) for images in test.views.values()])
    true, size = np.tile(test.labels, len(test.views)), config.pretrain.batch_size
    order, batches = np.random.default_rng(derive(config.seed, "batches")).permutation(len(true)), -(-len(true) // size)
    last = order[(batches - 1) * size :]
    notebooks = metrics.log_loss(probabilities[last], true[last]) / batches
    return {"over all images": metrics.log_loss(probabilities, true), "as the notebook": notebooks}


def _prototypes(
    config: ExperimentConfig, pool: Pool, images: torch.Tensor, network: Network
) -> tuple[np.ndarray, KNeighborsClassifier]:
    """Return the features (U, D) of the unlabelled images and the notebook's classifier, fitted to prototypes."""
    features, probabilities = embedding.embed(network, images)
    seed = cluster_seed(config, 1)
    evidence = Evidence(
        features=features,
        probabilities=probabilities,
        labels=pool.labels,
        clustering=config.clustering,
        settings=config.pseudo_labels,
        seed=seed,
    )
    return features[~pool.labelled], by_prototypes(evidence)


def _trained(
    config: ExperimentConfig,
    images: torch.Tensor,
    labels: np.ndarray,
    look: Callable[..., None] | None = None,
) -> Network:
    """Return a network trained as pretraining is; ``look`` sees it after each epoch."""
    use_threads(config.threads)
    seed = derive(config.seed, "pretrain")
    network = networks.build(
        config.network, channels=images.shape[1], n_classes=int(labels.max()) + 1, seed=derive(seed, "weights")
    )
    network = to_device(network, config.device, config.precision)
    nobody = (images[:0], np.empty(0, dtype=np.int64))
    watch: Callable[[Epoch, int], None] | None = partial(look, network) if look else None
    data = examples.examples(images, labels)
    return loop.fit(
        network, data, config.pretrain, augmentation=config.augmentation, seed=seed, validation=nobody, on_epoch=watch
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
    """What one question gave at one labelled ratio with one seed."""

    question: str
    ratio: float
    seed: int
    numbers: Numbers


def ask(config: ExperimentConfig, ratios: Sequence[float], seeds: Sequence[int], steps: Steps) -> Iterator[Answer]:
    """Yield the answer to each question, for each labelled ratio and seed."""
    for seed, ratio in itertools.product(seeds, ratios):
        at = merge(config, {"ratio": ratio, "seed": seed})
        for question, answered in QUESTIONS.items():
            yield Answer(question, ratio, seed, answered(at, steps))
