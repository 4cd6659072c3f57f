"""The threshold that keeps a promise: learnt from few hidden labels, on the safe side, and silent where it must be."""

import numpy as np
import pytest

from kmpl.thresholds import as_given, by_cross_fitting, chances, ranks


def population(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and hit of ``n`` images, 96 % of which are right: most misses are among the least certain."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(size=n)
    right = rng.uniform(size=n) > 0.32 * (1 - quality) ** 7
    return 1 - 1e-4 * (1 - quality), right  # far too sure of all it says


@pytest.mark.parametrize("n_labels", [50, 100, 400])
def test_the_promise_is_kept_by_far_most_draws_and_something_is_labelled(n_labels: int) -> None:
    confidence, right = population(5_000, 0)
    at = ranks(confidence)
    kept, covered = [], []
    for seed in range(60):
        hidden = np.random.default_rng(seed).choice(len(right), n_labels, replace=False)
        chosen = by_cross_fitting(0.99, at[hidden], right[hidden], confidence)
        above = confidence >= chosen.threshold
        covered.append(above.mean())
        kept.append(not above.any() or right[above].mean() >= 0.985)
    assert np.mean(kept) >= 0.9
    assert np.mean(covered) > 0.4


def test_the_more_is_asked_for_the_less_is_labelled() -> None:
    confidence, right = population(3_000, 1)
    at = ranks(confidence)
    thresholds = [by_cross_fitting(d, at[:200], right[:200], confidence).threshold for d in (0.9, 0.97, 0.99, 1 - 1e-9)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] <= confidence.min()
    assert thresholds[-1] > 1, "that cannot be expected"


def test_labels_that_were_all_found_again_do_not_prove_perfection() -> None:
    right = np.ones(20, dtype=bool)
    at = np.linspace(0.01, 0.99, 20)
    likely = chances(at, right, at)
    assert likely.max() < 1
    assert likely.mean() < 0.98
    assert (np.diff(likely) >= 0).all()


def test_where_confidence_says_nothing_all_have_the_same_chance() -> None:
    at = np.linspace(0.01, 0.99, 40)
    right = np.arange(40) < 20  # the more certain, the more often wrong
    np.testing.assert_allclose(chances(at, right, at), 21 / 42)
    chosen = by_cross_fitting(0.9, at, right, at)
    assert chosen.threshold > 1
    assert "cannot be expected at any confidence" in chosen.said


def test_few_labels_are_said_to_be_few() -> None:
    confidence, right = population(1_000, 2)
    at = ranks(confidence)
    assert "too few to count one error in 100" in by_cross_fitting(0.99, at[:40], right[:40], confidence).said
    assert "too few" not in by_cross_fitting(0.99, at[:300], right[:300], confidence).said
    nothing = by_cross_fitting(0.99, np.zeros(0), np.zeros(0, dtype=bool), confidence)
    assert nothing.threshold > 1
    assert "No class has two labels" in nothing.said


def test_equally_certain_images_are_taken_together_or_not_at_all() -> None:
    confidence = np.array([1.0] * 50 + [0.5] * 50)
    at, right = ranks(confidence), np.array([True] * 50 + [False, True] * 25)
    chosen = by_cross_fitting(0.9, at, right, confidence)
    assert chosen.threshold == 1.0
    assert as_given(0.5).threshold == 0.5
