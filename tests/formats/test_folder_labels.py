"""Labels by the names of sub-folders: a tree of parts is told from classes."""

from pathlib import Path

import pytest

from kmpl.errors import UserError
from kmpl.formats.folder_labels import labels_of_folders
from kmpl.formats.given_labels import Rules

PARTS = [
    ["train/cat/a.png", "train/dog/b.png", "test/cat/c.png", "val/dog/d.png"],
    ["Training/cat/a.png", "Training/dog/b.png", "unlabelled/c.png", "d.png"],
    ["train/cat/a.png", "train/dog/b.png", "test/c.png"],
    ["train_images/a.png", "test_images/b.png"],
    ["train/cat/a.png", "test/cat/c.png", "samples/d.png"],
    ["val-01/cat/a.png", "val-02/cat/b.png"],
]


@pytest.mark.parametrize("files", PARTS)
def test_train_and_test_are_no_classes(files: list[str]) -> None:
    with pytest.raises(UserError, match=r"photos: .*/ are parts of a data set.*, and no classes; name one of them"):
        labels_of_folders(files, Path("photos"))


def test_the_message_says_what_would_be_right() -> None:
    with pytest.raises(UserError) as refused:
        labels_of_folders(PARTS[0], Path("photos"))
    assert str(refused.value) == (
        "photos: test/, train/, val/ are parts of a data set, whose classes lie below (cat, dog), and no classes; name "
        "one of them (photos/test) or give labels in a CSV; to keep them as classes: --class-named test "
        "--class-named train --class-named val"
    )
    kept = labels_of_folders(PARTS[0], Path("photos"), Rules(class_named=("test", "train", "val")))
    assert sorted(kept.labels.values()) == ["test", "train", "train", "val"]


@pytest.mark.parametrize(
    "files",
    [
        ["train/a.png", "bus/b.png", "bus/2021/c.png"],
        ["train/2021/a.png", "bus/2021/b.png"],
        ["valid/a.png", "invalid/b.png"],
        ["test/a.png", "b.png"],
        ["train/2021/a.png", "b.png"],
    ],
)
def test_a_class_may_be_called_train_or_test(files: list[str]) -> None:
    assert labels_of_folders(files).labels == {file: file.split("/")[0] for file in files if "/" in file}


def test_folders_that_are_one_class_are_one_and_others_are_named() -> None:
    found = labels_of_folders(["café/a.png", "cafe\u0301 /b.png", "Dog/c.png", "dog/d.png", "dog/e.png"])
    assert found.labels["cafe\u0301 /b.png"] == found.labels["café/a.png"] == "café"
    assert found.notes == (
        "classes that read alike: 'Dog' (1 label) and 'dog' (2); if they are one, give them one name",
    )
