"""Laws of what follows from a journal, on random decisions of an impatient person."""

import random
from collections.abc import Sequence

import pytest

from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.review.decisions import (
    ClusterMarked,
    ClusterNamed,
    ClusterSplit,
    Decision,
    ImagesNamed,
    RoundStarted,
    Undo,
    Written,
)
from kmpl.review.state import NO_CLASS, DecisionError, State, counting, records, replay

FILES = tuple(f"{i:02}.png" for i in range(40))
GIVEN_LABELS = {"03.png": "cat", "17.png": "dog", "31.png": "cat"}
ASSIGNED_LABELS = {"05.png": "dog", "06.png": "bird"}
Rows = list[Decision | Undo | Written]


def labels_of(rows: Sequence[Decision | Undo | Written]) -> list[LabelRecord]:
    return records(replay(rows), FILES, given=GIVEN_LABELS, assigned=ASSIGNED_LABELS)


def unnamed(state: State) -> list[str]:
    labels = records(state, FILES, given=GIVEN_LABELS, assigned={})
    return [record.file for record in labels if not record.label and not record.note]


def random_row(state: State, rng: random.Random) -> Decision | Undo | Written | None:
    """Return what an impatient person might do next; None where that cannot be."""
    kind = rng.choice(("name", "name", "mark", "split", "image", "undo", "round", "written"))
    numbers = [cluster.number for cluster in state.current()]
    if kind == "undo":
        return Undo()
    if kind == "written":
        return Written(file="out.csv", digest="0" * 64)
    if kind == "image":
        return ImagesNamed(files=tuple(rng.sample(FILES, rng.randint(1, 3))), label=rng.choice(("cat", "dog", "")))
    if kind == "round":
        left = unnamed(state)
        return RoundStarted(clusters=(tuple(left[::2]), tuple(left[1::2]))) if len(left) > 1 else None
    if not numbers:
        return None
    number = rng.choice(numbers)
    if kind == "name":
        return ClusterNamed(cluster=number, label=rng.choice(("cat", "dog", "bird")))
    if kind == "mark":
        return ClusterMarked(cluster=number, verdict=rng.choice(("mixed", "none")))
    files = state.clusters[number].files
    return ClusterSplit(cluster=number, parts=(files[:1], files[1:])) if len(files) > 1 else None


def random_journal(seed: int, length: int = 60) -> Rows:
    rng = random.Random(seed)
    rows: Rows = [RoundStarted(clusters=tuple(FILES[i : i + 8] for i in range(0, 40, 8)))]
    while len(rows) < length:
        row = random_row(replay(rows), rng)
        if row is not None:
            rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(10))
def test_each_prefix_of_a_journal_is_a_journal(seed: int) -> None:
    rows = random_journal(seed)
    for length in range(len(rows) + 1):
        labels = labels_of(rows[:length])
        assert [record.file for record in labels] == list(FILES)
        assert all(bool(record.label) == bool(record.source) for record in labels)


@pytest.mark.parametrize("seed", range(10))
def test_undo_restores_what_was_before(seed: int) -> None:
    rows = random_journal(seed)
    for length in range(2, len(rows) + 1):
        before = rows[: length - 1]
        decision = rows[length - 1]
        if not isinstance(decision, Undo | Written):
            assert replay([*before, decision, Undo()]) == replay(before)


@pytest.mark.parametrize("seed", range(10))
def test_a_given_label_changes_only_where_a_person_corrects_that_image(seed: int) -> None:
    rows = random_journal(seed)
    corrected: dict[str, str] = {}
    for decision in counting(rows):
        if isinstance(decision, ImagesNamed):
            corrected |= dict.fromkeys(decision.files, decision.label)
    labels = {record.file: record for record in labels_of(rows)}
    for file, label in GIVEN_LABELS.items():
        assert labels[file].label == corrected.get(file, label)
        assert labels[file].source in (GIVEN, "")


@pytest.mark.parametrize("seed", range(10))
def test_no_image_is_in_two_clusters_that_can_be_decided_on(seed: int) -> None:
    current = [file for cluster in replay(random_journal(seed)).current() for file in cluster.files]
    assert len(current) == len(set(current))


def test_the_source_says_who_named_an_image() -> None:
    rows: Rows = [
        RoundStarted(clusters=(FILES[:10], FILES[10:20], FILES[20:])),
        ClusterNamed(cluster=0, label="bird"),
        ClusterMarked(cluster=1, verdict="none"),
        ImagesNamed(files=("01.png",), label="cat"),
        ImagesNamed(files=("02.png",), label=""),
    ]
    labels = {record.file: record for record in labels_of(rows)}
    assert (labels["00.png"].label, labels["00.png"].source, labels["00.png"].round) == ("bird", CLUSTER, 1)
    assert (labels["01.png"].label, labels["01.png"].source) == ("cat", GIVEN)
    assert (labels["02.png"].label, labels["02.png"].note) == ("", NO_CLASS)
    assert (labels["03.png"].label, labels["03.png"].source) == ("cat", GIVEN)
    assert (labels["05.png"].label, labels["05.png"].source) == ("bird", CLUSTER)
    assert (labels["11.png"].label, labels["11.png"].note) == ("", NO_CLASS)
    assert (labels["39.png"].label, labels["39.png"].source) == ("", "")
    assert {record.source for record in labels_of(rows[:1])} == {"", GIVEN, ASSIGNED}


def test_a_round_keeps_names_and_replaces_all_other_clusters() -> None:
    rows: Rows = [
        RoundStarted(clusters=(FILES[:10], FILES[10:20], FILES[20:])),
        ClusterNamed(cluster=0, label="bird"),
        ClusterMarked(cluster=1, verdict="mixed"),
        RoundStarted(clusters=(FILES[10:25], FILES[25:])),
    ]
    state = replay(rows)
    assert [cluster.number for cluster in state.current()] == [0, 3, 4]
    assert state.round == 2
    with pytest.raises(DecisionError, match="cluster 1: it was clustered again"):
        state.apply(ClusterNamed(cluster=1, label="dog"))
    with pytest.raises(DecisionError, match="cluster 9: there is no such cluster"):
        state.apply(ClusterNamed(cluster=9, label="dog"))
    with pytest.raises(DecisionError, match="its parts are not made of its 15 images"):
        state.apply(ClusterSplit(cluster=3, parts=(FILES[:3], FILES[3:5])))


def test_the_first_round_is_never_undone() -> None:
    rows: Rows = [RoundStarted(clusters=(FILES,)), Undo(), Undo()]
    assert replay(rows) == replay(rows[:1])


def test_names_of_an_earlier_review_s_clusters_stay_unchecked() -> None:
    """Handed back, they are what they were: below what a person says now, above nothing but kmpl's own."""
    start = RoundStarted(clusters=(FILES[:10], FILES[10:]))
    rows: Rows = [start, ClusterNamed(cluster=1, label="bird"), ImagesNamed(files=("01.png",), label="dog")]
    earlier = dict.fromkeys(("00.png", "01.png", "12.png"), "cat")
    found = {
        record.file: (record.label, record.source)
        for record in records(replay(rows), FILES, given={}, assigned={}, by_cluster=earlier)
    }
    assert found["00.png"] == ("cat", CLUSTER)
    assert found["01.png"] == ("dog", GIVEN)
    assert found["12.png"] == ("bird", CLUSTER)
    assert found["02.png"] == ("", "")
