"""A review of real digits, in one process: decisions, rounds, and the file that it ends in."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from reviewing import Digits, reviewing, rows, write_digits, write_labels

from kmpl.datasets.image_folder import read_folder
from kmpl.errors import FileError, UserError
from kmpl.formats.csv_labels import read_labels
from kmpl.formats.registry import read_labels as read_any
from kmpl.review import views
from kmpl.review.decisions import ClusterMarked, ClusterNamed, ImagesNamed
from kmpl.review.session import Review
from kmpl.review.snapshot import Target

N = 120


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    return write_digits(tmp_path, N)


@pytest.fixture
def review(digits: Digits, tmp_path: Path) -> Iterator[Review]:
    with reviewing(digits, tmp_path) as opened:
        yield opened


def name_all(review: Review, true: dict[str, str]) -> None:
    """Name each open cluster by what most of its members are."""
    for number in views.summary(review)["queue"]:
        files = review.state.clusters[number].files
        review.decide(ClusterNamed(cluster=number, label=Counter(true[file] for file in files).most_common(1)[0][0]))


def test_named_clusters_become_labels_that_kmpl_reads(review: Review, digits: Digits) -> None:
    name_all(review, digits.true)
    review.decide(ImagesNamed(files=("000.png",), label=digits.true["000.png"]))
    line = review.write()
    out = review.target.path
    assert line == f"{out}: {N} labels of {N} images"
    table = rows(out)
    assert Counter(row["source"] for row in table.values()) == {"cluster": N - 1, "given": 1}
    right = sum(row["label"] == digits.true[file] for file, row in table.items())
    assert right > 0.5 * N, "twice as many as by chance, and more"
    given = read_labels(out, digits.folder, read_folder(digits.folder).files)
    assert len(given.labels) == N, "a label by cluster counts as a label"
    assert not given.unreviewed
    assert len(given.by_cluster) == N - 1, "and is told from one that a person gave the image itself"


def test_the_journal_brings_everything_back(review: Review, digits: Digits, tmp_path: Path) -> None:
    number = views.summary(review)["queue"][0]
    review.decide(ClusterNamed(cluster=number, label="  a  five "))
    review.split(views.summary(review)["queue"][0])
    review.decide(ClusterMarked(cluster=views.summary(review)["queue"][0], verdict="none"))
    before = review.snapshot().labels
    assert "a five" in {record.label for record in before}
    with reviewing(digits, tmp_path / "other") as fresh:
        assert not any(record.label for record in fresh.snapshot().labels)
    (tmp_path / "copy").mkdir()
    (tmp_path / "reviews").rename(tmp_path / "copy" / "reviews")
    with reviewing(digits, tmp_path / "copy") as again:
        assert again.snapshot().labels == before


def test_the_same_seed_gives_the_same_clusters(review: Review, digits: Digits, tmp_path: Path) -> None:
    with reviewing(digits, tmp_path / "again") as again:
        assert again.state == review.state


def test_a_next_round_clusters_what_has_no_name(review: Review) -> None:
    first, second, third = views.summary(review)["queue"][:3]
    review.decide(ClusterNamed(cluster=first, label="x"))
    review.decide(ClusterMarked(cluster=second, verdict="mixed"))
    review.decide(ClusterMarked(cluster=third, verdict="none"))
    named, mixed, no_class = (set(review.state.clusters[n].files) for n in (first, second, third))
    review.start_round()
    again = {file for cluster in review.state.current() if cluster.round == 2 for file in cluster.files}
    assert mixed <= again
    assert not again & (named | no_class)
    assert len(again) == N - len(named) - len(no_class)
    review.undo()
    assert review.state.clusters[second].verdict == "mixed"


def test_the_largest_worth_comes_first(review: Review) -> None:
    summary = views.summary(review)
    worths = {cluster["number"]: cluster["worth"] for cluster in summary["clusters"]}
    in_queue = [worths[number] for number in summary["queue"]]
    assert in_queue == sorted(in_queue, reverse=True)
    assert in_queue[0] > in_queue[-1]


def test_given_labels_stay_and_tell_what_a_cluster_is(digits: Digits, tmp_path: Path) -> None:
    given = {file: digits.true[file] for file in list(digits.true)[:60]}
    labels = write_labels(tmp_path / "given.csv", given)
    with reviewing(digits, tmp_path, labels=labels) as review:
        guesses = [c for c in views.summary(review)["clusters"] if c["guess"]]
        assert guesses
        for cluster in views.summary(review)["queue"]:
            review.decide(ClusterNamed(cluster=cluster, label="something else"))
        review.decide(ImagesNamed(files=("003.png",), label="slip"))
        review.write()
        table = rows(review.target.path)
    assert all(table[file]["label"] == label for file, label in given.items() if file != "003.png")
    assert (table["003.png"]["label"], table["003.png"]["source"]) == ("slip", "given")
    assert labels.read_text().count("\n") == 61, "the given labels themselves are not touched"


def test_a_file_that_was_edited_is_not_written_over(review: Review, tmp_path: Path) -> None:
    review.write()
    review.write()
    out = review.target.path
    by_hand = out.read_text() + "\n"
    out.write_text(by_hand)
    with pytest.raises(FileError, match=r"out.csv: was changed since kmpl wrote it; nothing was written; write out_2"):
        review.write()
    assert out.read_text() == by_hand
    assert review.write(under_another_name=True).startswith(str(tmp_path / "out_2.csv"))
    assert out.read_text() == by_hand


def test_labels_are_written_anew_where_the_target_is_another_or_gone(review: Review, digits: Digits) -> None:
    name_all(review, digits.true)
    review.write()
    assert review.is_written()
    review.target.path.unlink()
    assert not review.is_written()
    tasks = review.target.path.with_name("tasks.json")
    review.target = Target(path=tasks, format="label-studio")
    assert not review.is_written()
    review.write()
    assert review.is_written()
    found = read_any(tasks, digits.folder, sorted(digits.true))
    there_already = tasks.with_name("there.csv")
    there_already.write_text("")
    review.target = Target(path=there_already)
    assert not review.is_written()
    assert len(found.labels) == N


def test_a_file_of_another_origin_is_refused_at_the_start(digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("file,label\n")
    with pytest.raises(FileError, match="exists, and this review did not write it"), reviewing(digits, tmp_path):
        pass


def test_an_image_that_is_gone_is_left_out_and_said(review: Review, digits: Digits) -> None:
    name_all(review, digits.true)
    (digits.folder / "007.png").unlink()
    assert review.write().endswith("1 left out, their files are gone")
    assert "007.png" not in rows(review.target.path)


def test_a_folder_that_changed_is_taken_up_as_it_is(digits: Digits, tmp_path: Path) -> None:
    with reviewing(digits, tmp_path) as review:
        name_all(review, digits.true)
    (digits.folder / "007.png").unlink()
    with reviewing(digits, tmp_path) as review:
        assert len(review.snapshot().labels) == N - 1
        assert all(record.label for record in review.snapshot().labels)


def test_bad_decisions_are_refused_in_one_line_and_not_kept(review: Review) -> None:
    kept = review.version
    for decision, message in (
        (ClusterNamed(cluster=99, label="x"), "cluster 99: there is no such cluster"),
        (
            ClusterNamed(cluster=0, label="nan"),
            "'nan' means that there is no label; give another name .*--class-named",
        ),
        (ClusterNamed(cluster=0, label=" "), "'' means that there is no label"),
        (ImagesNamed(files=("nowhere.png",), label="x"), "nowhere.png: there is no such image"),
    ):
        with pytest.raises(UserError, match=message):
            review.decide(decision)
    with pytest.raises(UserError, match="there is nothing to undo"):
        review.undo()
    assert review.version == kept
