"""What a review is worth: an accuracy that a person's checks really show."""

import numpy as np
import pytest

from kmpl.review import worth
from kmpl.review.decisions import ClusterNamed, Decision, ImagesNamed, RoundStarted
from kmpl.review.state import State, records, replay

FILES = tuple(f"{i:03}.png" for i in range(400))
GIVEN = {"000.png": "cat", "200.png": "dog"}
START: list[Decision] = [
    RoundStarted(clusters=(FILES[:200], FILES[200:300], FILES[300:])),
    ClusterNamed(cluster=0, label="cat"),
    ClusterNamed(cluster=1, label="dog"),
]


def checked(n: int, wrong: int = 0) -> State:
    """Return a review in which the first ``n`` images to check were checked, and so many were wrong."""
    state = replay(START)
    _, order = worth.to_check(state, FILES, GIVEN)
    for place, file in enumerate(order[:n]):
        label = "horse" if place < wrong else state.clusters_of_files()[file].label
        state.apply(ImagesNamed(files=(file,), label=label))
    return state


def test_all_images_count_once() -> None:
    state = checked(10, wrong=2)
    number = worth.counts(records(state, FILES, given=GIVEN, assigned={}), state, GIVEN)
    assert (number.given, number.image, number.cluster, number.unnamed) == (2, 10, 288, 100)
    assert number.named + number.no_class + number.unnamed == len(FILES)


def test_accuracy_is_not_known_before_a_check_and_has_an_interval_after_it() -> None:
    assert worth.accuracy(replay(START), FILES, GIVEN) is None
    found = worth.accuracy(checked(20, wrong=1), FILES, GIVEN)
    assert found is not None
    assert (found.right, found.checked, found.in_all) == (19, 20, 298)
    assert found.low == pytest.approx(0.7513, abs=1e-4)  # Clopper and Pearson's, from their tables
    assert found.high == pytest.approx(0.9987, abs=1e-4)


def test_images_looked_at_because_they_were_doubtful_do_not_shift_the_accuracy() -> None:
    state = checked(20)
    _, others = worth.to_check(state, FILES, GIVEN)
    for file in others[5:50]:  # all of them wrong, and not in the random order
        state.apply(ImagesNamed(files=(file,), label="horse"))
    found = worth.accuracy(state, FILES, GIVEN)
    assert found is not None
    assert (found.right, found.checked) == (20, 20)


def test_clusters_named_after_a_check_are_checked_too_before_they_count() -> None:
    state = checked(60)
    before = worth.accuracy(state, FILES, GIVEN)
    state.apply(ClusterNamed(cluster=2, label="bird"))
    after = worth.accuracy(state, FILES, GIVEN)
    assert before is not None
    assert before.checked == 60
    assert after is None or after.checked < 60
    sample, others = worth.to_check(state, FILES, GIVEN)
    assert state.clusters_of_files()[others[0]].number == 2
    assert len(sample) + len(others) == 398


def test_the_interval_holds_the_true_accuracy_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for draw in range(200):
        files = tuple(f"{draw}-{i}.png" for i in range(300))
        wrong = set(rng.choice(files, 30, replace=False))
        state = replay([RoundStarted(clusters=(files,)), ClusterNamed(cluster=0, label="cat")])
        for file in worth.to_check(state, files, {})[1][:40]:
            state.apply(ImagesNamed(files=(file,), label="dog" if file in wrong else "cat"))
        found = worth.accuracy(state, files, {})
        assert found is not None
        held += found.low <= 0.9 <= found.high
    assert held >= 190


def test_when_all_are_checked_nothing_is_left_to_chance() -> None:
    found = worth.accuracy(checked(298, wrong=3), FILES, GIVEN)
    assert found is not None
    assert found.low == found.high == pytest.approx(295 / 298)
    assert worth.accuracy_line(found, 0) == "All 298 names by cluster were checked: 295 were right"


def test_the_advice_goes_from_naming_to_checking_to_the_end() -> None:
    state = replay(START)
    number = worth.counts(records(state, FILES, given=GIVEN, assigned={}), state, GIVEN)
    assert worth.advice(number, 60.0, None) == "Go on: the next key is worth about 60 images"
    assert "check 30 images" in worth.advice(number, 1.0, None)
    assert "check 5 more images" in worth.advice(number, 1.0, worth.accuracy(checked(25), FILES, GIVEN))
    found = worth.accuracy(checked(40), FILES, GIVEN)
    assert "start the next round with the 100 images left, or stop" in worth.advice(number, None, found)
