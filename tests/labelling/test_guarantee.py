"""The guarantee: kept in as many draws as it says, however confident the labels are; and what it needs."""

import numpy as np
import pytest
from scipy.special import expit

from kmpl.labelling.guarantee import guaranteed_threshold
from kmpl.labelling.thresholds import HiddenLabels, guaranteed_choice

GUARANTEE, AT_RISK, DRAWS = 0.9, 0.1, 300


@pytest.mark.parametrize(("level", "slope"), [(1.0, 1.5), (0.0, 2.0), (2.5, 0.3)])
def test_it_is_kept_in_as_many_draws_as_it_says(level: float, slope: float) -> None:
    """Confidence that is far too high, or says little, costs labels and breaks nothing."""
    rng = np.random.default_rng(0)
    broken = written = 0
    for _ in range(DRAWS):
        odds = rng.normal(size=500) * 2
        right = rng.random(500) < expit(slope * odds + level)
        confidence = expit(odds + 5)
        hidden, others = np.arange(80), np.arange(80, 500)
        threshold = guaranteed_threshold(
            confidence[hidden], right[hidden], confidence[others], guarantee=GUARANTEE, at_risk=AT_RISK
        )
        if threshold is not None:
            chosen = confidence[others] >= threshold
            written += int(chosen.any())
            broken += int(chosen.any() and right[others][chosen].mean() < GUARANTEE)
    assert broken / DRAWS <= AT_RISK + 3 * np.sqrt(AT_RISK * (1 - AT_RISK) / DRAWS)
    assert written > 0


def test_more_labels_and_a_smaller_share_write_more() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(size=2_000) * 2
    right = rng.random(2_000) < expit(1.5 * odds + 1)
    confidence = expit(odds)
    others = confidence[1_000:]
    written = [
        (others >= (guaranteed_threshold(confidence[:n], right[:n], others, guarantee=g, at_risk=0.1) or 2)).mean()
        for n, g in ((30, 0.9), (1_000, 0.9), (1_000, 0.75))
    ]
    assert written[0] < written[1] < written[2]


def test_too_few_hidden_labels_prove_nothing_and_the_line_says_how_many_it_takes() -> None:
    hidden = HiddenLabels(np.linspace(0, 1, 15), np.ones(15, dtype=bool), confidence=np.linspace(0.9, 0.99, 15))
    choice = guaranteed_choice(0.95, 0.1, hidden, np.linspace(0.5, 0.99, 200))
    assert choice.threshold is None
    assert "cannot be guaranteed at any confidence, so no label is assigned" in choice.message
    assert "that takes about 45" in choice.message


def test_what_is_guaranteed_is_said_with_its_assumption() -> None:
    hidden = HiddenLabels(np.linspace(0, 1, 60), np.ones(60, dtype=bool), confidence=np.linspace(0.6, 0.99, 60))
    choice = guaranteed_choice(0.9, 0.1, hidden, np.linspace(0.5, 0.99, 200))
    assert choice.threshold == pytest.approx(0.6)
    assert (
        "at least 90.0% right, with a probability of 90.0%, if the given labels are a random sample" in choice.message
    )


def test_classes_with_one_label_cost_proof() -> None:
    """They cannot be hidden: what is left says nothing of them."""
    confidence = np.linspace(0.99, 0.5, 80)
    right = np.ones(80, dtype=bool)
    without = guaranteed_threshold(confidence, right, confidence, guarantee=0.9, at_risk=0.1)
    with_three = guaranteed_threshold(confidence, right, confidence, guarantee=0.9, at_risk=0.1, singles=3)
    assert without == pytest.approx(0.5)
    assert with_three is not None
    assert guaranteed_threshold(confidence, right, confidence, guarantee=0.9, at_risk=0.1, singles=20) is None


def test_without_a_hidden_label_nothing_is_guaranteed() -> None:
    choice = guaranteed_choice(0.9, 0.1, HiddenLabels(np.zeros(0), np.zeros(0, dtype=bool)), np.full(9, 0.99))
    assert choice.threshold is None
    assert not choice.is_checked
    assert "none can be hidden and nothing can be guaranteed" in choice.message
