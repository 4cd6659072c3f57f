"""Suggestions: typical images of clusters without a label first, then the least certain, never near-duplicates."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.labelling import sized
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.labelling.active_learning import centroid_margin, suggest
from kmpl.method.kmeans import kmeans
from kmpl.method.pretext import pixels
from kmpl.method.pseudo_labels import Evidence, cluster_graph

SIZES = (120, 80, 50)
MIDDLES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


@pytest.fixture(scope="module")
def heaps() -> tuple[np.ndarray, np.ndarray]:
    """Three heaps of points, the largest first, and which heap each is of."""
    rng, owner = np.random.default_rng(0), np.repeat(np.arange(3), SIZES)
    return (MIDDLES[owner] + rng.normal(0, 1, (len(owner), 2))).astype(np.float32), owner


@pytest.fixture
def nothing(heaps: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.full(len(heaps[0]), UNLABELLED)


def test_without_labels_each_heap_gives_its_middle_large_heaps_first(
    heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray
) -> None:
    features, owner = heaps
    found = suggest(features, nothing, budget=3, seed=0)
    assert owner[found.images].tolist() == [0, 1, 2]
    assert found.reasons == ("no label in its cluster",) * 3
    for k, image in enumerate(found.images):
        distance = np.linalg.norm(features - features[owner == k].mean(axis=0), axis=1)
        assert image == np.where(owner == k, distance, np.inf).argmin()


def test_a_cluster_with_a_label_is_not_asked_about(heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray) -> None:
    features, owner = heaps
    nothing[np.flatnonzero(owner == 0)[:5]] = 7
    found = suggest(features, nothing, budget=5, seed=0)
    labelled = np.unique(found.clusters.assignment[nothing != UNLABELLED])
    typical = [r == "no label in its cluster" for r in found.reasons]
    assert not np.isin(found.clusters.assignment[found.images[typical]], labelled).any()
    assert {1, 2} <= set(owner[found.images])


def test_when_every_cluster_has_a_label_the_least_certain_are_next(
    heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray
) -> None:
    features, _ = heaps
    rng = np.random.default_rng(1)
    clusters = kmeans(features, len(features) // 20, seed=0)
    nothing[[np.flatnonzero(clusters.assignment == k)[0] for k in range(len(clusters.centroids))]] = 0
    confidence = rng.random(len(features))
    found = suggest(features, nothing, budget=4, seed=0, confidence=lambda: confidence, near=0.0)
    unlabelled = np.flatnonzero(nothing == UNLABELLED)
    assert found.reasons == ("least certain",) * 4
    assert found.images.tolist() == unlabelled[np.argsort(confidence[unlabelled])[:4]].tolist()


def test_no_image_comes_twice_and_none_is_labelled(heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray) -> None:
    features, _ = heaps
    nothing[::3] = 1
    found = suggest(features, nothing, budget=40, seed=0, near=0.0)
    assert len(set(found.images.tolist())) == len(found.images) == len(found.reasons) == 40
    assert (nothing[found.images] == UNLABELLED).all()


def test_near_duplicates_of_chosen_and_of_labelled_images_are_passed_over(
    heaps: tuple[np.ndarray, np.ndarray],
) -> None:
    features, _ = heaps
    twice = np.concatenate([features, features + 0.01])
    labels = np.full(len(twice), UNLABELLED)
    labels[:100] = 0
    found = suggest(twice, labels, budget=150, seed=0, confidence=lambda: np.zeros(len(twice)), near=0.01)
    spread = np.sqrt(twice.var(axis=0).sum())
    together = twice[np.concatenate([found.images, np.arange(100)])]
    distance = np.linalg.norm(together[:, None] - together[None], axis=2) + 9 * np.eye(len(together))
    assert distance[: len(found.images)].min() > 0.01 * spread
    assert len(found.images) < 150  # no more are to be had, and that is said by giving fewer


def test_copies_of_a_file_are_passed_over_whatever_their_features(
    heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray
) -> None:
    features, owner = heaps
    nothing[owner.tolist().index(1)] = 0
    copies = [f"heap {k}" for k in owner]
    found = suggest(features, nothing, budget=3, seed=0, digests=copies, near=0.0)
    assert sorted(owner[found.images]) == [0, 2]


def test_images_that_are_all_the_same_give_one_suggestion() -> None:
    found = suggest(np.ones((50, 3), dtype=np.float32), np.full(50, UNLABELLED), budget=5, seed=0)
    assert len(found.images) == 1


def test_the_same_seed_gives_the_same(heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray) -> None:
    one, other = (suggest(heaps[0], nothing, budget=10, seed=3).images for _ in range(2))
    assert one.tolist() == other.tolist()


def test_clearness_is_one_at_a_centroid_and_falls_towards_the_next(heaps: tuple[np.ndarray, np.ndarray]) -> None:
    clusters = kmeans(heaps[0], 3, seed=0)
    one, other = clusters.centroids[clusters.assignment[[0, 150]]]  # of the first and of the second heap
    way = one + np.linspace(0, 0.5, 6)[:, None] * (other - one)
    clear = centroid_margin(way, clusters)
    assert clear[0] == pytest.approx(1, abs=1e-3)
    assert clear[-1] < 0.1
    assert (np.diff(clear) < 0).all()
    assert centroid_margin(heaps[0], kmeans(heaps[0], 1, seed=0)).tolist() == [1.0] * len(heaps[0])


@pytest.mark.parametrize(
    ("budget", "given", "said"),
    [
        (0, 0, "budget 0: give at least 1"),
        (-3, 0, "budget -3: give at least 1"),
        (251, 0, "budget 251: 250 images have no label; give 1 to 250"),
        (4, 247, "budget 4: 3 images have no label"),
        (1, 250, "all 250 images are labelled"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(
    heaps: tuple[np.ndarray, np.ndarray], nothing: np.ndarray, budget: int, given: int, said: str
) -> None:
    nothing[:given] = 0
    with pytest.raises(UserError, match=said):
        suggest(heaps[0], nothing, budget=budget, seed=0)


def test_twenty_suggested_labels_name_more_digits_rightly_than_twenty_at_random() -> None:
    """By their pixels, nothing trained. What suggestions are worth to the whole method: `kmpl benchmark fewest`."""
    data = load_digits()
    features, truth = pixels(torch.as_tensor((data.images * 255 / 16).astype(np.uint8))[:, None]), data.target

    def right(labelled: np.ndarray, seed: int) -> float:
        labels = np.full(len(truth), UNLABELLED)
        labels[labelled] = truth[labelled]
        evidence = Evidence(
            features=features,
            probabilities=np.zeros((len(truth), 10)),
            labels=labels,
            clustering=Clustering.model_validate(sized(len(truth), 10)["clustering"]),
            settings=PseudoLabelling(),
            seed=seed,
        )
        return float((cluster_graph(evidence).classes == truth)[labels == UNLABELLED].mean())

    gains = []
    for seed in range(5):
        suggested = suggest(features, np.full(len(truth), UNLABELLED), budget=20, seed=seed).images
        at_random = np.random.default_rng(seed).permutation(len(truth))[:20]
        gains.append(right(suggested, seed) - right(at_random, seed))
    assert min(gains) > 0
    assert np.mean(gains) > 0.1
