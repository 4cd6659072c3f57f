"""What judges say before any label is hidden, what that promises, and how hidden labels move it."""

import numpy as np
import pytest
from scipy.special import expit

from kmpl.datasets import registry
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.agreement import calibrate, expected_accuracy
from kmpl.labelling.judges import Grounds, Judgement, classifier_of, grounds_of, joined, judgement_of, opinions
from kmpl.method.cluster_ensemble import product_of
from kmpl.method.frozen_structure import with_structure
from kmpl.method.pretext import pixels

RNG = np.random.default_rng(0)
N, CLASSES = 300, 10


def judged(n: int, level: float, slope: float = 1.5) -> tuple[Judgement, np.ndarray]:
    """Return what is said of n images, and which are named rightly by the curve that is to be found."""
    odds = RNG.normal(0.5, 1.5, n)
    right = RNG.random(n) < expit(slope * odds + level)
    return Judgement(odds=odds, agree=right), right


NONE = joined([])
NOTHING = np.zeros(0, dtype=bool)


def test_without_a_hidden_label_the_mean_is_what_the_judges_promise() -> None:
    judgement, _ = judged(500, 0.0)
    confidence, of_none = calibrate(judgement, 0.7, NONE, NOTHING, stability=0.7, per_class=5)
    assert len(of_none) == 0
    assert confidence.mean() == pytest.approx(0.7, abs=1e-6)
    assert (np.diff(confidence[np.argsort(judgement.odds)]) >= 0).all()


def test_hidden_labels_move_it_and_many_decide() -> None:
    judgement, right = judged(4_000, -1.0)
    wrong = 0.95
    errors = []
    for n in (0, 30, 3_000):
        hidden, found = judged(n, -1.0)
        errors.append(
            abs(calibrate(judgement, wrong, hidden, found, stability=0.7, per_class=5)[0].mean() - right.mean())
        )
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_hidden_labels_that_were_all_found_again_promise_no_certainty() -> None:
    judgement, _ = judged(500, 0.0)
    hidden, _ = judged(20, 0.0)
    confidence, _ = calibrate(judgement, 0.6, hidden, np.ones(20, dtype=bool), stability=0.7, per_class=5)
    assert 0.6 < confidence.mean() < 0.8
    assert confidence.max() < 1


def test_more_support_and_more_stability_promise_more_and_never_certainty_or_less_than_chance() -> None:
    promises = [expected_accuracy(Grounds(support=s, stability=0.6), 10) for s in (0.1, 0.3, 0.5, 0.9)]
    assert promises == sorted(promises)
    promises = [expected_accuracy(Grounds(support=0.4, stability=s), 10) for s in (0.1, 0.3, 0.5, 0.9)]
    assert promises == sorted(promises)
    assert expected_accuracy(Grounds(support=0.0, stability=0.0), 10) == pytest.approx(0.15)
    assert 0.95 < expected_accuracy(Grounds(support=1.0, stability=1.0), 2) < 1


def test_judges_of_unstable_labels_are_taken_for_less_sure() -> None:
    judgement, _ = judged(500, 0.0)
    loose, firm = (calibrate(judgement, 0.6, NONE, NOTHING, stability=s, per_class=5)[0] for s in (0.4, 0.9))
    assert loose.std() < firm.std()
    assert loose.mean() == pytest.approx(firm.mean())


def test_hidden_labels_that_contradict_the_judges_plainly_decide() -> None:
    judgement = Judgement(odds=np.full(500, 2.0), agree=np.ones(500, dtype=bool))
    hidden = Judgement(odds=np.full(100, 2.0), agree=np.ones(100, dtype=bool))
    expected = expected_accuracy(Grounds(support=0.9, stability=0.95), 10)
    confidence, _ = calibrate(judgement, expected, hidden, np.arange(100) < 40, stability=0.95, per_class=5)
    assert expected > 0.9
    assert confidence.mean() == pytest.approx(0.4, abs=0.05)


def test_hidden_labels_of_classes_with_few_labels_are_expected_to_be_found_less_often() -> None:
    judgement, _ = judged(500, 0.0)
    hidden, found = judged(40, 0.0)
    two, twenty = (calibrate(judgement, 0.6, hidden, found, stability=0.7, per_class=n)[0].mean() for n in (2, 20))
    assert two > twenty + 0.01


@pytest.fixture(scope="module")
def digits() -> tuple[FrozenFeatures, np.ndarray]:
    """Features of real digits by their pixels, and their classes."""
    data = registry.read("MNIST", train=True)
    values = pixels(data.images[:N])
    plain = FrozenFeatures(values=values, validation=values[:0], root=False, name="pixels")
    return with_structure(plain, 0), data.labels[:N].numpy()


def given(truth: np.ndarray, per_class: int) -> np.ndarray:
    labels = np.full(len(truth), UNLABELLED)
    for c in range(CLASSES):
        labels[np.flatnonzero(truth == c)[:per_class]] = c
    return labels


def test_grounds_tell_many_labels_from_one_and_true_ones_from_shuffled(
    digits: tuple[FrozenFeatures, np.ndarray],
) -> None:
    frozen, truth = digits

    def promise(labels: np.ndarray) -> float:
        return expected_accuracy(grounds_of(frozen, labels, n_classes=CLASSES, seed=0, redraws=2), CLASSES)

    def accuracy(labels: np.ndarray) -> float:
        said = opinions(frozen, labels, classifier_of(frozen, labels, n_classes=CLASSES))
        rest = labels == UNLABELLED
        return float((product_of(tuple(said)).argmax(axis=1) == truth)[rest].mean())

    one, ten = given(truth, 1), given(truth, 10)
    shuffled = ten.copy()
    shuffled[ten != UNLABELLED] = np.random.default_rng(0).permutation(ten[ten != UNLABELLED])
    assert promise(one) == pytest.approx(accuracy(one), abs=0.12)
    assert promise(ten) == pytest.approx(accuracy(ten), abs=0.12)
    assert promise(ten) > promise(one) + 0.1
    assert promise(shuffled) < promise(ten) - 0.3


def test_grounds_are_the_same_for_the_same_seed_and_mean_the_images_that_are_asked(
    digits: tuple[FrozenFeatures, np.ndarray],
) -> None:
    frozen, truth = digits
    labels = given(truth, 2)
    first, again = (grounds_of(frozen, labels, truth, n_classes=CLASSES, seed=3, redraws=1) for _ in range(2))
    assert first == again
    said = opinions(frozen, labels, classifier_of(frozen, labels, n_classes=CLASSES)).mean(axis=0)
    support = said[np.arange(N), truth]
    sure = (labels == UNLABELLED) & (support > np.median(support))
    of_sure = grounds_of(frozen, labels, truth, asked=sure, n_classes=CLASSES, seed=3, redraws=1)
    assert of_sure.support > first.support
    assert of_sure.stability > first.stability


def test_each_judge_gives_shares_and_clusters_follow_their_members(
    digits: tuple[FrozenFeatures, np.ndarray],
) -> None:
    frozen, truth = digits
    labels = given(truth, 3)
    said = opinions(frozen, labels, classifier_of(frozen, labels, n_classes=CLASSES))
    assert said.shape == (3, N, CLASSES)
    np.testing.assert_allclose(said.sum(axis=2), 1, atol=1e-5)
    hits = (said.argmax(axis=2) == truth)[:, labels == UNLABELLED].mean(axis=1)
    assert (hits > 0.5).all()
    assert hits[2] > hits[0]


def test_three_judges_speak_for_a_class_and_two_of_them_agree() -> None:
    said = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.6, 0.4]], [[0.2, 0.8], [0.1, 0.9]]])
    found = judgement_of(said, np.array([0, 1]))
    np.testing.assert_allclose(1 / (1 + np.exp(-found.odds)), [0.6, 0.7])
    assert found.agree.tolist() == [True, False]
