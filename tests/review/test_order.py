"""Which cluster and which image come next, on real digits."""

import numpy as np
import pytest

from kmpl.datasets import mnist
from kmpl.method import pretext
from kmpl.review import order, rounds

N = 300


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = mnist.read(train=True)
    return pretext.pixels(data.images[:N]), np.asarray(data.labels[:N])


def test_no_image_is_its_own_neighbour_and_one_image_has_none(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = digits
    near = order.neighbours(features)
    assert near.shape == (N, order.NEIGHBOURS)
    assert (near != np.arange(N)[:, None]).all()
    assert order.neighbours(features[:1]).shape == (1, 0)
    assert order.purity(order.neighbours(features[:1]), np.array([0])) == 1.0


def test_neighbours_tell_digits_and_know_nothing_without_labels(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, true = digits
    near = order.neighbours(features)
    said = order.votes(near, true, 10)
    assert (said.classes == true).mean() > 0.75
    none = order.votes(near, np.full(N, -1), 10)
    assert (none.classes == -1).all()
    assert not none.shares.any()


def test_a_wrong_label_is_suspicious_and_comes_first(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, true = digits
    near = order.neighbours(features)
    sure = int(order.by_doubt(order.votes(near, true, 10), true)[-1])
    wrong = true.copy()
    wrong[sure] = (true[sure] + 1) % 10
    said = order.votes(near, wrong, 10)
    assert order.suspicious(said, wrong)[sure]
    assert not order.suspicious(order.votes(near, true, 10), true)[sure]
    assert sure in order.by_doubt(said, wrong)[:30]


def test_the_guess_of_purity_goes_with_purity(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, true = digits
    near = order.neighbours(features)
    clusters = rounds.make_clusters(features, np.arange(N), n_clusters=None, seed=0, number=1)
    large = [cluster for cluster in clusters if len(cluster) > 2]
    guessed = np.array([order.purity(near, cluster) for cluster in large])
    right = np.array([np.bincount(true[cluster]).max() / len(cluster) for cluster in large])
    assert np.corrcoef(guessed, right)[0, 1] > 0.2


def test_the_nearest_to_the_mean_comes_first(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = digits
    members = np.arange(0, N, 7)
    distance = np.linalg.norm(features - features[members].mean(axis=0), axis=1)
    assert (np.diff(distance[order.by_distance(features, members)]) >= 0).all()
