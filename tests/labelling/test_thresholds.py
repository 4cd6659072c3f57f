"""The threshold that keeps a promise: learnt from few hidden labels, on the safe side, and silent where it must be."""

from dataclasses import replace

import numpy as np
import pytest

from kmpl.labelling.thresholds import (
    HiddenLabels,
    ThresholdChoice,
    calibrated_confidence,
    confidence_ranks,
    smallest_threshold,
    unchecked_threshold,
    user_threshold,
)


def population(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and hit of ``n`` images, 96 % of which are right: most misses are among the least certain."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(size=n)
    right = rng.uniform(size=n) > 0.32 * (1 - quality) ** 7
    return 1 - 1e-4 * (1 - quality), right  # far too sure of all it says


def choose(demanded: float, hidden: HiddenLabels, confidence: np.ndarray) -> tuple[ThresholdChoice, np.ndarray]:
    """Return what is chosen, and the chances of images of that confidence."""
    chance = calibrated_confidence(hidden, confidence_ranks(confidence))
    return smallest_threshold(demanded, hidden, chance), chance


@pytest.mark.parametrize("n_labels", [50, 100, 400])
def test_the_demanded_accuracy_is_reached_in_nearly_all_draws_and_some_labels_are_assigned(n_labels: int) -> None:
    confidence, right = population(5_000, 0)
    at = confidence_ranks(confidence)
    kept, covered = [], []
    for seed in range(60):
        hidden = np.random.default_rng(seed).choice(len(right), n_labels, replace=False)
        chosen, chance = choose(0.99, HiddenLabels(at[hidden], right[hidden]), confidence)
        above = chance >= (np.inf if chosen.threshold is None else chosen.threshold)
        covered.append(above.mean())
        kept.append(not above.any() or right[above].mean() >= 0.985)
    assert np.mean(kept) >= 0.9
    assert np.mean(covered) > 0.4


def test_the_more_is_asked_for_the_less_is_labelled() -> None:
    confidence, right = population(3_000, 1)
    at = confidence_ranks(confidence)
    some = HiddenLabels(at[:200], right[:200])
    found = [choose(demanded, some, confidence) for demanded in (0.9, 0.97, 0.99, 1 - 1e-9)]
    *chosen, last = [choice.threshold for choice, _ in found]
    thresholds = [threshold for threshold in chosen if threshold is not None]
    assert len(thresholds) == 3
    assert thresholds == sorted(thresholds)
    assert thresholds[0] <= found[0][1].min()
    assert last is None, "that cannot be expected"


def test_labels_that_were_all_found_again_do_not_prove_perfection() -> None:
    right = np.ones(20, dtype=bool)
    at = np.linspace(0.01, 0.99, 20)
    likely = calibrated_confidence(HiddenLabels(at, right), at)
    assert likely.max() < 1
    assert likely.mean() < 0.98
    assert (np.diff(likely) >= 0).all()


def test_where_confidence_says_nothing_all_have_the_same_chance() -> None:
    at = np.linspace(0.01, 0.99, 40)
    right = np.arange(40) < 20  # the more certain, the more often wrong
    np.testing.assert_allclose(calibrated_confidence(HiddenLabels(at, right), at), 21 / 42)
    chosen, _ = choose(0.9, HiddenLabels(at, right), at)
    assert chosen.threshold is None
    assert chosen.expected_accuracy_of_all == pytest.approx(0.5)
    assert "cannot be expected at any confidence" in chosen.message


def test_few_labels_are_said_to_be_few() -> None:
    confidence, right = population(1_000, 2)
    at = confidence_ranks(confidence)
    assert "too few to count one error in 100" in choose(0.99, HiddenLabels(at[:40], right[:40]), confidence)[0].message
    assert "too few" not in choose(0.99, HiddenLabels(at[:300], right[:300]), confidence)[0].message
    nothing = smallest_threshold(0.99, HiddenLabels(np.zeros(0), np.zeros(0, dtype=bool)), confidence)
    assert nothing.threshold is None
    assert "No class has two labels" in nothing.message


def test_equally_certain_images_are_taken_together_or_not_at_all() -> None:
    confidence = np.array([1.0] * 50 + [0.5] * 50)
    at, right = confidence_ranks(confidence), np.array([True] * 50 + [False, True] * 25)
    chosen, chance = choose(0.9, HiddenLabels(at, right), confidence)
    assert chosen.threshold == chance[0]
    assert (chance >= chosen.threshold).tolist() == [True] * 50 + [False] * 50
    assert unchecked_threshold(0.5).threshold == 0.5


def test_no_label_below_the_least_confidence_is_taken_however_sure_the_others_are() -> None:
    chance = np.array([0.99] * 50 + [0.4] * 5)
    some = HiddenLabels(np.linspace(0.1, 0.9, 9), np.ones(9, dtype=bool))
    assert smallest_threshold(0.9, some, chance).threshold == 0.4
    chosen = smallest_threshold(0.9, some, chance, minimum=0.5)
    assert chosen.threshold == 0.99
    assert chosen.expected_accuracy == pytest.approx(0.99)
    assert smallest_threshold(0.6, some, np.full(9, 0.4), minimum=0.3).threshold is None


def test_classes_of_one_label_speak_for_classes_of_none() -> None:
    """Each is a miss more: what is of a class that nobody labelled is named wrongly, and no hidden label shows it."""
    at, right = np.linspace(0.02, 0.98, 25), np.ones(25, dtype=bool)
    whole = [calibrated_confidence(HiddenLabels(at, right, singles), at).mean() for singles in (0, 2, 8)]
    assert whole == sorted(whole, reverse=True)
    assert whole[0] > 0.93
    assert 26 / (27 + 8) < whole[2] < 0.8, "eight misses more, most of them at lower ranks than these"


def test_a_threshold_that_was_set_stands_and_says_what_to_expect() -> None:
    some = HiddenLabels(np.linspace(0.1, 0.9, 9), np.arange(9) > 4)
    chance = np.array([0.9, 0.7, 0.2])
    said = user_threshold(0.5, some, chance).message
    assert said.startswith("Threshold 0.5 as set: 80.0% of the labels above it are expected to be right (4 of 9 hidden")
    none = user_threshold(0.95, some, chance)
    assert "none is above it; 60.0% of all are expected" in none.message
    assert (none.threshold, none.expected_accuracy_of_all) == (0.95, pytest.approx(0.6))
    nothing = user_threshold(0.5, HiddenLabels(np.zeros(0), np.zeros(0, dtype=bool), 3), chance)
    assert "nothing checks the result" in nothing.message


def test_a_promise_without_a_hidden_label_stays_below_the_confidence() -> None:
    confidence = np.linspace(0.5, 0.99, 100)
    nothing = np.zeros(0)
    plain = HiddenLabels(nothing, nothing.astype(bool), stability=0.7)
    bold, careful = (smallest_threshold(0.85, replace(plain, caution=c), confidence) for c in (0.0, 0.6))
    assert bold.threshold is not None
    assert careful.threshold is not None
    assert careful.threshold > bold.threshold + 0.1
    assert 0.85 <= careful.expected_accuracy < confidence[confidence >= careful.threshold].mean() - 0.02
    assert careful.expected_accuracy_of_all == bold.expected_accuracy_of_all == pytest.approx(confidence.mean())
    assert "other examples name 70% of the images alike" in careful.message
