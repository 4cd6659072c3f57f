"""The strategy cluster-ensemble: on real digits it beats the classifier that it is given; its parts by hand."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from kmpl import KMeansPseudoLabeller
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.datasets.types import UNLABELLED
from kmpl.method import cluster_ensemble, cluster_graph
from kmpl.method.cluster_ensemble import clusterings, members_vote, neighbour_graph, product_of
from kmpl.method.cluster_graph import propagate_labels
from kmpl.method.pseudo_labels import Evidence


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Six hundred of scikit-learn's digits, each of length one, and their classes."""
    data = load_digits()
    drawn = np.random.default_rng(1000).permutation(len(data.target))[:600]
    return normalize(data.data[drawn]).astype(np.float32), data.target[drawn]


@pytest.mark.parametrize("seed", [1000, 1001])
def test_with_two_labels_of_each_class_it_is_five_points_better_than_its_classifier(
    digits: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    features, classes = digits
    rng = np.random.default_rng(seed)
    given = np.concatenate([rng.permutation(np.flatnonzero(classes == c))[:2] for c in range(10)])
    labels = np.full(600, UNLABELLED)
    labels[given] = classes[given]
    classifier = LogisticRegression(C=100, max_iter=5_000)
    model = KMeansPseudoLabeller(classifier, strategy="cluster-ensemble", rounds=1, random_state=seed)
    model.fit(features, labels)
    free = labels == UNLABELLED
    alone = classifier.fit(features[given], classes[given]).predict(features[free])
    assert (model.transduction_[free] == classes[free]).mean() > (alone == classes[free]).mean() + 0.05
    assert (model.predict(features[free]) == classes[free]).mean() > (alone == classes[free]).mean() + 0.05


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_the_clusterings_add_to_what_classifier_and_graph_say_together(
    digits: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    features, classes = digits
    rng = np.random.default_rng(seed)
    given = np.concatenate([rng.permutation(np.flatnonzero(classes == c))[:1] for c in range(10)])
    labels = np.full(600, UNLABELLED)
    labels[given] = classes[given]
    classifier = LogisticRegression(C=100, max_iter=5_000).fit(features[given], classes[given])
    evidence = Evidence(
        features=features,
        probabilities=classifier.predict_proba(features),
        labels=labels,
        clustering=Clustering(n_clusters=30),
        settings=PseudoLabelling(),
        seed=0,
    )
    votes = np.eye(10)[classes] * (labels != UNLABELLED)[:, None]
    near = propagate_labels(neighbour_graph(features, cluster_ensemble.NEIGHBOURS), votes, share=0.8)
    without = product_of((evidence.probabilities, near)).argmax(axis=1)
    with_clusters = cluster_ensemble.cluster_ensemble(evidence).classes
    free = labels == UNLABELLED
    assert (with_clusters == classes)[free].mean() > (without == classes)[free].mean() + 0.01


def test_the_graph_links_each_point_with_its_nearest_by_their_own_scales() -> None:
    points = np.array([[0.0], [1.0], [3.0], [10.0]])
    graph = neighbour_graph(points, 1).toarray()
    by_hand = np.zeros((4, 4))
    by_hand[0, 1] = by_hand[1, 0] = np.exp(-1)  # each is the other's nearest, at the scale of both
    by_hand[1, 2] = by_hand[2, 1] = np.exp(-4 / (2 * 1))
    by_hand[2, 3] = by_hand[3, 2] = np.exp(-49 / (7 * 2))
    np.testing.assert_allclose(graph, by_hand)


def test_the_graph_of_equal_points_has_no_loop_and_is_finite() -> None:
    graph = neighbour_graph(np.ones((5, 3)), 10)
    assert np.isfinite(graph.data).all()
    assert not graph.diagonal().any()


def test_there_are_four_numbers_of_clusters_with_four_different_starts(digits: tuple[np.ndarray, np.ndarray]) -> None:
    found = clusterings(digits[0], seed=0)
    assert [len(np.unique(assignment)) for assignment in found] == [37] * 4 + [60] * 4 + [100] * 4 + [150] * 4
    assert len({assignment.tobytes() for assignment in found}) == 16


@pytest.mark.parametrize("n", [2, 3, 17])
def test_few_points_have_as_many_clusters_as_there_can_be(n: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 80))
    assert all(0 <= assignment.min() <= assignment.max() < n for assignment in clusterings(points, seed=0))


def test_a_row_of_zeros_is_no_opinion_and_no_judge_rules_out_alone() -> None:
    opinion = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
    other = np.array([[0.0, 0.0, 0.0], [0.0, 0.9, 0.1]])
    product = product_of((opinion, other))
    np.testing.assert_allclose(product[0], opinion[0])
    by_hand = np.array([0.7 * 1e-4, 0.2 * 0.9, 0.1 * 0.1])
    np.testing.assert_allclose(product[1], by_hand / by_hand.sum())


def test_members_vote_in_each_clustering_and_the_mean_counts() -> None:
    votes = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    shares = members_vote([np.array([0, 0, 1]), np.array([0, 1, 1])], votes)
    np.testing.assert_allclose(shares, [[0.875, 0.125], [0.375, 0.625], [0.0, 1.0]], atol=1e-3)


def test_a_large_graph_gives_what_a_small_one_gives(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = neighbour_graph(digits[0], cluster_ensemble.NEIGHBOURS)
    votes = np.eye(10)[digits[1]] * (np.arange(600) < 30)[:, None]
    exact = propagate_labels(graph, votes, share=0.8)
    monkeypatch.setattr(cluster_graph, "_LARGE_GRAPH", 100)
    by_conjugate_gradients = propagate_labels(graph, votes, share=0.8)
    np.testing.assert_allclose(by_conjugate_gradients, exact, atol=1e-5)
    assert (by_conjugate_gradients.argmax(axis=1) == exact.argmax(axis=1)).all()
