"""The journal of a review goes with the folder's images: moved, renamed, copied, or another folder in its place."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reviewing import Digits, write_digits

from kmpl.datasets.image_folder import read_folder
from kmpl.errors import LabelsWarning, UserError
from kmpl.jobs import review_folder
from kmpl.jobs.label_files import Files
from kmpl.jobs.review_place import FOLDER, find_place, keep_place, place_of
from kmpl.review.decisions import ClusterNamed
from kmpl.review.session import Review


@pytest.fixture
def digits(tmp_path: Path) -> Digits:
    return write_digits(tmp_path, 24)


@contextmanager
def opened(folder: Path, out: Path, mlruns: Path) -> Iterator[Review]:
    images = read_folder(folder, size=8)
    features = images.images.numpy().reshape(len(images.files), -1).astype("float32") / 255
    with review_folder.open_review(Files(folder, out), images, features, mlruns=mlruns, seed=0, n_clusters=4) as review:
        yield review


@contextmanager
def recorded() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True, action="always", category=LabelsWarning) as said:
        assert said is not None
        yield said


def name_a_cluster(review: Review) -> None:
    review.decide(ClusterNamed(cluster=min(review.state.clusters), label="seven"))
    review.write()


def test_a_moved_folder_goes_on_with_its_review_and_its_file(digits: Digits, tmp_path: Path) -> None:
    with opened(digits.folder, tmp_path / "labels.csv", tmp_path) as review:
        name_a_cluster(review)
        said = [record.label for record in review.snapshot().labels]
    there = tmp_path / "another" / "place"
    there.parent.mkdir()
    digits.folder.rename(there)
    (tmp_path / "labels.csv").rename(there.parent / "labels.csv")
    (there / "000.png").unlink()
    with recorded() as said_of_it, opened(there, there.parent / "labels.csv", tmp_path) as review:
        assert [record.label for record in review.snapshot().labels] == said[1:]
        review.decide(ClusterNamed(cluster=max(review.state.clusters), label="one"))
        review.write()
    [warning] = said_of_it
    assert str(warning.message).startswith(f"{there}: is the folder whose review began in {digits.folder}; it goes on")
    assert [path.name for path in (tmp_path / "reviews").iterdir()] == [place_of(there, tmp_path).name]
    with opened(there, there.parent / "labels.csv", tmp_path) as review:
        assert "one" in {record.label for record in review.snapshot().labels}


def test_a_copy_has_a_review_of_its_own(digits: Digits, tmp_path: Path) -> None:
    with opened(digits.folder, tmp_path / "labels.csv", tmp_path) as review:
        name_a_cluster(review)
    copy = Path(shutil.copytree(digits.folder, tmp_path / "copy"))
    with opened(copy, tmp_path / "others.csv", tmp_path) as review:
        assert not any(record.label for record in review.snapshot().labels)
    assert len(list((tmp_path / "reviews").iterdir())) == 2


def test_another_folder_in_its_place_is_said_to_be(digits: Digits, tmp_path: Path) -> None:
    with opened(digits.folder, tmp_path / "labels.csv", tmp_path) as review:
        name_a_cluster(review)
    digits.folder.rename(tmp_path / "aside")
    other = write_digits(tmp_path / "other", 40).folder
    digits.folder.mkdir()
    for number in range(30, 40):
        (other / f"{number:03}.png").rename(digits.folder / f"{number:03}.png")
    place = place_of(digits.folder, tmp_path)
    images = read_folder(digits.folder, size=8)
    with pytest.raises(UserError, match=f"is another folder than .*: none of its 24 images is in it.*move {place}"):
        find_place(images, tmp_path)
    with recorded() as said, opened(tmp_path / "aside", tmp_path / "labels.csv", tmp_path) as review:
        assert "it goes on" in str(said[0].message)
        assert "seven" in {record.label for record in review.snapshot().labels}


def test_a_journal_of_an_earlier_version_is_found_by_its_path(digits: Digits, tmp_path: Path) -> None:
    with opened(digits.folder, tmp_path / "labels.csv", tmp_path) as review:
        name_a_cluster(review)
    place = place_of(digits.folder, tmp_path)
    (place / FOLDER).unlink()
    images = read_folder(digits.folder, size=8)
    assert find_place(images, tmp_path) == place
    keep_place(images, place)
    assert (place / FOLDER).exists()
