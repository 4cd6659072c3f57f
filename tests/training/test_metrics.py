"""Numbers about predictions, against scikit-learn's and against their definitions written out."""

import math
from dataclasses import fields

import numpy as np
import pytest
from sklearn import metrics as sk

from kmpl.datasets.types import UNLABELLED
from kmpl.method import diagnostics
from kmpl.method.results import Clusters, PseudoLabels
from kmpl.training import metrics

N, C = 400, 7


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def probabilities_of(rng: np.random.Generator, n: int = N, n_classes: int = C) -> np.ndarray:
    return rng.dirichlet(np.full(n_classes, 0.3), size=n)


def test_accuracy_confusion_and_recall_are_scikit_learns(rng: np.random.Generator) -> None:
    predicted, true = rng.integers(0, C, N), rng.integers(0, C, N)
    assert metrics.accuracy(predicted, true) == pytest.approx(sk.accuracy_score(true, predicted))
    np.testing.assert_array_equal(metrics.confusion(predicted, true, C), sk.confusion_matrix(true, predicted))
    recall = metrics.class_shares(predicted == true, true, C)
    assert recall == pytest.approx(tuple(sk.recall_score(true, predicted, average=None)))
    precision = metrics.class_shares(predicted == true, predicted, C)
    assert precision == pytest.approx(tuple(sk.precision_score(true, predicted, average=None)))


def test_confusion_has_a_row_and_a_column_for_classes_that_do_not_occur() -> None:
    table = metrics.confusion(np.array([0, 2]), np.array([0, 1]), 5)
    assert table.shape == (5, 5)
    assert (table.sum(), table[0, 0], table[1, 2]) == (2, 1, 1)


def test_a_share_of_no_points_is_nan_not_zero() -> None:
    nothing = np.array([], dtype=np.int64)
    assert math.isnan(metrics.accuracy(nothing, nothing))
    shares = metrics.class_shares(np.array([True]), np.array([1]), 3)
    assert math.isnan(shares[0])
    assert shares[1] == 1
    assert math.isnan(shares[2])


def test_log_loss_is_scikit_learns(rng: np.random.Generator) -> None:
    probabilities, true = probabilities_of(rng), rng.integers(0, C, N)
    safe = np.maximum(probabilities, 1e-9)
    safe /= safe.sum(axis=1, keepdims=True)
    assert metrics.log_loss(safe, true) == pytest.approx(sk.log_loss(true, safe, labels=range(C)))


def test_log_loss_of_a_certain_error_is_large_but_finite() -> None:
    loss = metrics.log_loss(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1]))
    assert 20 < loss < math.inf


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_error_is_its_definition_bin_by_bin(rng: np.random.Generator, bins: int) -> None:
    probabilities, true = probabilities_of(rng), rng.integers(0, C, N)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    expected = 0.0
    for b in range(bins):
        inside = (confidence >= b / bins) & ((confidence < (b + 1) / bins) | (b == bins - 1))
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert metrics.calibration_error(probabilities, true, bins) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_is_zero_for_the_honest_and_one_for_the_certain_who_are_wrong() -> None:
    true = np.array([0, 0, 0, 1])
    assert metrics.calibration_error(np.tile([0.75, 0.25], (4, 1)), true) == 0
    assert metrics.calibration_error(np.eye(2)[[1, 1, 1, 0]], true) == 1
    assert metrics.calibration_error(np.eye(2)[true], true) == 0


def test_purity_is_the_share_of_each_clusters_most_frequent_class(rng: np.random.Generator) -> None:
    assignment, true = rng.integers(0, 30, N), rng.integers(0, C, N)
    members = [true[assignment == k] for k in range(30)]
    expected = sum(np.unique(m, return_counts=True)[1].max() for m in members if len(m)) / N
    assert metrics.purity(assignment, true) == pytest.approx(expected)


def test_purity_does_not_depend_on_the_names_of_clusters_and_classes(rng: np.random.Generator) -> None:
    assignment, true = rng.integers(0, 30, N), rng.integers(0, C, N)
    renamed = metrics.purity(rng.permutation(30)[assignment], rng.permutation(C)[true])
    assert renamed == metrics.purity(assignment, true)


def test_purity_is_one_for_single_points_and_never_falls_when_a_cluster_is_split(rng: np.random.Generator) -> None:
    assignment, true = rng.integers(0, 10, N), rng.integers(0, C, N)
    assert metrics.purity(np.arange(N), true) == 1
    split = assignment * 2 + rng.integers(0, 2, N)
    assert metrics.purity(split, true) >= metrics.purity(assignment, true)


def test_the_coverage_curve_ends_at_everything_and_at_the_accuracy(rng: np.random.Generator) -> None:
    right, confidence = rng.random(N) < 0.7, rng.random(N)
    coverage, accuracy = metrics.coverage_curve(right, confidence)
    assert coverage[-1] == 1
    assert accuracy[-1] == pytest.approx(right.mean())
    assert (np.diff(coverage) > 0).all()


def test_each_point_of_the_coverage_curve_is_the_accuracy_above_a_threshold(rng: np.random.Generator) -> None:
    right, confidence = rng.random(N) < 0.7, rng.random(N)
    coverage, accuracy = metrics.coverage_curve(right, confidence)
    for threshold in np.sort(confidence)[[0, 10, 200, 399]]:
        above = confidence >= threshold
        assert accuracy[above.sum() - 1] == pytest.approx(right[above].mean())
        assert coverage[above.sum() - 1] == pytest.approx(above.mean())


def test_perfectly_ranked_confidence_makes_the_curve_fall_only_where_it_must() -> None:
    right = np.array([False, True, False, True, True])
    _, accuracy = metrics.coverage_curve(right, right.astype(float))
    np.testing.assert_allclose(accuracy, [1, 1, 1, 3 / 4, 3 / 5])


def labelling(rng: np.random.Generator, given: np.ndarray, true: np.ndarray) -> PseudoLabels:
    """Return pseudo-labels that are right in about two thirds, a third of them left out, clusters included."""
    guesses = np.where(rng.random(N) < 0.6, true, rng.integers(0, C, N))
    guesses[given] = true[given]
    left_out = (rng.random(N) < 0.3) & ~given
    clusters = Clusters(assignment=rng.integers(0, 20, N), centroids=np.zeros((20, 2)), inertia=0.0)
    rounds = np.where(given, 0, np.where(left_out, UNLABELLED, 1))
    return PseudoLabels(
        classes=np.where(left_out, UNLABELLED, guesses),
        guesses=guesses,
        confidence=rng.random(N),
        rounds=rounds,
        clusters=clusters,
    )


def test_diagnostics_count_only_what_was_assigned(rng: np.random.Generator) -> None:
    true, given = rng.integers(0, C, N), rng.random(N) < 0.2
    labels = labelling(rng, given, true)
    shown = diagnostics.diagnose(labels, labelled=given, true=true, n_classes=C)
    assigned = [i for i in range(N) if not given[i] and labels.classes[i] != UNLABELLED]
    assert shown.accuracy == pytest.approx(np.mean([labels.classes[i] == true[i] for i in assigned]))
    assert shown.coverage == pytest.approx(len(assigned) / (~given).sum())
    assert sum(shown.counts) == len(assigned) == labels.assigned
    assert np.dot(shown.counts, shown.class_accuracy) / len(assigned) == pytest.approx(shown.accuracy)
    assert len(shown.right) == len(shown.confidence) == (~given).sum()


def test_diagnostics_do_not_look_at_the_classes_of_given_labels(rng: np.random.Generator) -> None:
    true, given = rng.integers(0, C, N), rng.random(N) < 0.2
    labels = labelling(rng, given, true)
    other = np.where(given, (true + 1) % C, true)
    one, two = (
        diagnostics.diagnose(labels, labelled=given, true=true, n_classes=C),
        diagnostics.diagnose(labels, labelled=given, true=other, n_classes=C),
    )
    for name in (field.name for field in fields(one) if field.name != "purity"):  # purity is about all images
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_diagnostics_of_nothing_assigned_are_nan_with_coverage_zero(rng: np.random.Generator) -> None:
    true, given = rng.integers(0, C, N), rng.random(N) < 0.2
    classes = np.where(given, true, UNLABELLED)
    labels = PseudoLabels(classes=classes, guesses=true, confidence=np.ones(N), rounds=np.where(given, 0, UNLABELLED))
    shown = diagnostics.diagnose(labels, labelled=given, true=true, n_classes=C)
    assert math.isnan(shown.accuracy)
    assert math.isnan(shown.purity)
    assert all(math.isnan(share) for share in shown.class_accuracy)
    assert (shown.coverage, shown.counts) == (0, (0,) * C)
