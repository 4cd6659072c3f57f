"""Labels that a person wrote into a CSV are told from kmpl's own, and are not lost."""

from pathlib import Path

import pytest

from kmpl.errors import FileError
from kmpl.formats.hand_labels import check_overwrite, labels_by_hand
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.formats.writing import write

SUGGESTED = "file,label,rank,cluster,reason,confidence\n"
ASSIGNED_HEADER = "file,label,confidence,cluster,round,source,assigned\n"


FILES = ("a.png", "b.png", "c.png")


def written(folder: Path, text: str) -> Path:
    path = folder / "out.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_person_filled_in_is_by_hand_and_what_kmpl_assigned_is_not(tmp_path: Path) -> None:
    rows = "a.png,cat,0.9,1,1,assigned,cat\nb.png,dog,0.9,1,1,assigned,cat\nc.png,,0.4,1,1,,\nd.png,cat,0.4,1,1,,\n"
    assert labels_by_hand(written(tmp_path, ASSIGNED_HEADER + rows)) == {"b.png": "dog", "d.png": "cat"}
    rows = "a.png,,1,1,no label in its cluster,\nb.png, cat ,2,2,least certain,0.3\n"
    assert labels_by_hand(written(tmp_path, SUGGESTED + rows)) == {"b.png": "cat"}


def test_a_spreadsheet_s_semicolons_and_words_for_no_label_are_understood(tmp_path: Path) -> None:
    rows = "a.png;cat;1;1;;\nb.png;?;2;2;;\n"
    assert labels_by_hand(written(tmp_path, SUGGESTED.replace(",", ";") + rows)) == {"a.png": "cat"}


def test_rows_above_a_damage_count(tmp_path: Path) -> None:
    assert labels_by_hand(written(tmp_path, 'file,label\na.png,cat\n"b.png,dog\n')) == {"a.png": "cat"}


@pytest.mark.parametrize("text", ["", "a picture\n", "file,class\na.png,cat\n", 'file,label\n"a.png,cat\n'])
def test_a_file_of_another_kind_holds_no_labels_by_hand(tmp_path: Path, text: str) -> None:
    assert not labels_by_hand(written(tmp_path, text))
    assert not labels_by_hand(tmp_path / "none.csv")


def test_labels_that_are_given_too_may_be_written_over_and_others_not(tmp_path: Path) -> None:
    path = written(tmp_path, SUGGESTED + "a.png,cat,1,1,,\nb.png,dog,2,2,,\n")
    folder = {"root": tmp_path, "files": FILES}
    check_overwrite(path, "--out", {"a.png": "cat", "b.png": "dog", "c.png": "cat"}, **folder)  # type: ignore[arg-type]
    with pytest.raises(
        FileError, match=r"out\.csv: has a label of yours that .*first: b\.png, dog.*give the file with"
    ):
        check_overwrite(path, "--out", {"a.png": "cat"}, **folder)  # type: ignore[arg-type]
    with pytest.raises(FileError, match="has 2 labels of yours"):
        check_overwrite(path, "--out", {"b.png": "cat"}, **folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["label-studio", "fiftyone", "parquet"])
def test_what_people_labelled_in_a_tool_is_not_lost_either(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    records = [
        LabelRecord(file="a.png", label="cat", source=GIVEN),
        LabelRecord(file="b.png", label="dog", source=ASSIGNED),
    ]
    write(records, path, tmp_path, name)
    check_overwrite(path, "--out", {"a.png": "cat"}, root=tmp_path, files=FILES)
    with pytest.raises(FileError, match=r"has a label of yours that .*first: a\.png, cat"):
        check_overwrite(path, "--out", {}, root=tmp_path, files=FILES)
