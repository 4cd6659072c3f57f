"""Two judges that agree: what that promises, and how hidden labels move it."""

import numpy as np
import pytest
from scipy.special import expit

from kmpl.labelling.agreement import Judgement, calibrate, expected_accuracy, joined

RNG = np.random.default_rng(0)


def judged(n: int, level: float, slope: float = 1.5) -> tuple[Judgement, np.ndarray]:
    """Return what is said of n images, and which are named rightly by the curve that is to be found."""
    odds = RNG.normal(0.5, 1.5, n)
    right = RNG.random(n) < expit(slope * odds + level)
    return Judgement(odds=odds, agree=right), right


NONE = joined([])


def test_without_a_hidden_label_the_mean_is_what_agreement_promises() -> None:
    judgement, _ = judged(500, 0.0)
    confidence, of_none = calibrate(judgement, 0.7, NONE, np.zeros(0, dtype=bool), per_class=5)
    assert len(of_none) == 0
    assert confidence.mean() == pytest.approx(0.7, abs=1e-6)
    assert (np.diff(confidence[np.argsort(judgement.odds)]) >= 0).all()


def test_hidden_labels_move_it_and_many_decide() -> None:
    judgement, right = judged(4_000, -1.0)
    wrong = 0.95
    errors = []
    for n in (0, 30, 3_000):
        hidden, found = judged(n, -1.0)
        errors.append(abs(calibrate(judgement, wrong, hidden, found, per_class=5)[0].mean() - right.mean()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


def test_hidden_labels_that_were_all_found_again_promise_no_certainty() -> None:
    judgement, _ = judged(500, 0.0)
    hidden, _ = judged(20, 0.0)
    confidence, _ = calibrate(judgement, 0.6, hidden, np.ones(20, dtype=bool), per_class=5)
    assert 0.6 < confidence.mean() < 0.8
    assert confidence.max() < 1


def test_few_labels_promise_less_than_judges_agree_and_never_less_than_chance() -> None:
    agree = np.arange(100) < 80
    promises = [expected_accuracy(agree, np.repeat(np.arange(10), n), 10) for n in (1, 2, 5, 20, 100)]
    assert promises[0] == pytest.approx(0.65)
    assert promises == sorted(promises)
    assert promises[-1] < 0.8
    assert expected_accuracy(agree & False, np.arange(10), 10) == pytest.approx(0.15)
    assert expected_accuracy(agree | True, np.repeat(np.arange(2), 50), 2) < 1


def test_judges_with_one_label_a_class_are_taken_for_less_sure() -> None:
    judgement, _ = judged(500, 0.0)
    one, five = (calibrate(judgement, 0.6, NONE, np.zeros(0, dtype=bool), per_class=n)[0] for n in (1, 5))
    assert one.std() < five.std()
    assert one.mean() == pytest.approx(five.mean())


def test_hidden_labels_that_contradict_the_judges_plainly_decide() -> None:
    odds = np.full(100, 2.0)
    judgement = Judgement(odds=np.full(500, 2.0), agree=np.ones(500, dtype=bool))
    hidden = Judgement(odds=odds, agree=np.ones(100, dtype=bool))
    expected = expected_accuracy(judgement.agree, np.repeat(np.arange(10), 10), 10)
    confidence, _ = calibrate(judgement, expected, hidden, np.arange(100) < 40, per_class=10)
    assert expected > 0.9
    assert confidence.mean() == pytest.approx(0.4, abs=0.05)
