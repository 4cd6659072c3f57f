"""What twenty suggested labels are worth against twenty at random: minutes to an hour, printed with ``-s``."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from kmpl.config.experiment import Clustering, Learning, PseudoLabelling
from kmpl.config.labelling import sized
from kmpl.datasets import mnist
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED
from kmpl.labelling import job as labelling
from kmpl.labelling.active_learning import suggest
from kmpl.method import pretext
from kmpl.method.pseudo_labels import Evidence, cluster_graph
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.training.watch import Watch

BUDGET = 20
Source = Callable[[int], tuple[Tensor, np.ndarray]]
Learner = Callable[[Tensor, np.ndarray, np.ndarray, int], np.ndarray]


def mnist_digits(seed: int) -> tuple[Tensor, np.ndarray]:
    """Return 10,000 of MNIST's training images and what they show."""
    data, some = mnist.read(train=True), np.random.default_rng(seed).permutation(60_000)[:10_000]
    return data.images[some], data.labels.numpy()[some]


def small_digits(seed: int) -> tuple[Tensor, np.ndarray]:  # noqa: ARG001  (all of them are the pool)
    """Return scikit-learn's 1,797 digits of 8 × 8 pixels as a folder of them would be read, and what they show."""
    data = load_digits()
    grey = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in data.images]
    large = [np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)) for image in grey]
    return torch.as_tensor(np.stack(large))[:, None], data.target


def ways(features: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return whom each way of choosing has labelled; only the last knows what the images show."""
    rng, nothing = np.random.default_rng(seed), np.full(len(truth), UNLABELLED)
    each = [rng.permutation(np.flatnonzero(truth == c))[: BUDGET // 10] for c in range(10)]
    return {
        "suggested": suggest(features, nothing, budget=BUDGET, seed=seed).images,
        "random": rng.permutation(len(truth))[:BUDGET],
        "random, two of each class": np.concatenate(each),
    }


def named_at_once(images: Tensor, features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    """Return the classes that the labels give to all images over the graph of clusters, nothing being trained."""
    settings = Clustering.model_validate(sized(len(labels), 10)["clustering"])
    return cluster_graph(
        Evidence(
            features=features,
            probabilities=np.zeros((len(labels), 10)),
            labels=labels,
            clustering=settings,
            settings=PseudoLabelling(),
            seed=seed,
        )
    ).classes


def named_by_label(images: Tensor, features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    """Return the classes that ``kmpl label`` gives to all images."""
    there, files = np.unique(labels[labels != UNLABELLED]), tuple(map(str, range(len(labels))))
    given = np.where(labels == UNLABELLED, UNLABELLED, np.searchsorted(there, labels))
    found = FolderImages(
        root=Path("own"),
        files=files,
        images=images,
        labels=given,
        classes=tuple(map(str, there)),
        digests=files,
        left_out={},
    )
    job = labelling.prepare(found, {"seed": seed, "threads": 1, "validation": 0})
    return there[labelling.run(job, Steps(evaluate=no_test_set("a folder has none")))[1].guesses]


@cache
def learnt(source: Source, seed: int) -> np.ndarray:
    """Return the features of the images, learnt without a label."""
    return pretext.features(Learning(threads=1), source(seed)[0], seed=seed, watch=Watch())


def measure(source: Source, learner: Learner, seed: int) -> dict[str, float]:
    """Return the share of the unlabelled images that is rightly named, for each way of choosing whom to label."""
    (images, truth), features, shares = source(seed), learnt(source, seed), {}
    for way, chosen in ways(features, truth, seed).items():
        labels = np.full(len(truth), UNLABELLED)
        labels[chosen] = truth[chosen]
        right = learner(images, features, labels, seed) == truth
        shares[way] = float(right[labels == UNLABELLED].mean())
        said = f"{source.__name__}, {learner.__name__}, seed {seed}, {way}: {shares[way]:.4f}"
        print(f"{said}, {len(np.unique(truth[chosen]))} classes", flush=True)
    return shares


@pytest.mark.slow
@pytest.mark.timeout(20_000)
@pytest.mark.parametrize("learner", [named_at_once, named_by_label])
@pytest.mark.parametrize("source", [small_digits, mnist_digits])
def test_suggested_labels_are_worth_more_than_random_ones(source: Source, learner: Learner) -> None:
    measured = [measure(source, learner, seed) for seed in range(5)]
    means = {}
    for way in measured[0]:
        shares = [one[way] for one in measured]
        means[way] = np.mean(shares)
        print(f"{source.__name__}, {learner.__name__}, {way}: {means[way]:.4f} ± {np.std(shares, ddof=1):.4f}")
    assert means["suggested"] > means["random"]
