"""Rows are added to a file of labels in every format that kmpl reads back; what stands in it stays as it is."""

import csv
import json
from pathlib import Path

import pytest

from kmpl.errors import FileError
from kmpl.formats import writing
from kmpl.formats.appending import append, can_append
from kmpl.formats.given_labels import Rules
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.formats.registry import FORMATS, read_labels
from kmpl.jobs.label_records import names_in_file, records_of_file

OLD = [
    LabelRecord(file="a/1.png", label="cat, 🐈", confidence=1.0, source=GIVEN, cluster=3, round=0),
    LabelRecord(file="b 2.png", label="dog", confidence=0.75, source=ASSIGNED, cluster=1, round=2),
    LabelRecord(file="c.png", confidence=0.25, cluster=1, note="unlike what is labelled"),
]
NEW = [
    LabelRecord(file="d.png", label="owl", confidence=0.5, source=ASSIGNED, cluster=2),
    LabelRecord(file="e.png", label="dog", confidence=1.0, source=GIVEN, round=0),
]
ALL = [record.file for record in (*OLD, *NEW)]
PLACES = {
    "csv": "out.csv",
    "parquet": "out.parquet",
    "label-studio": "tasks.json",
    "huggingface": "metadata.jsonl",
    "fiftyone": "labels.json",
    "lightly": "out.csv",
}
IN_FOLDER = {name: name for name in ("metadata.csv", "metadata.parquet")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ALL:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def place_of(name: str, root: Path) -> tuple[Path, str]:
    """Return where a case is written, and its format; a case is a format, or a file of Hugging Face's metadata."""
    if name in IN_FOLDER:
        return root / name, "huggingface"
    return (root if name == "huggingface" else root.parent) / PLACES[name], name


def read(path: Path, root: Path) -> dict[str, LabelRecord]:
    records, _ = records_of_file(path, root, ALL, Rules(trust="assigned"))
    return {record.file: record for record in records}


def plain(records: list[LabelRecord]) -> list[LabelRecord]:
    """LightlyTrain takes commas apart, so there is none."""
    return [LabelRecord(file=r.file, label=r.label.split(",")[0], source=r.source) for r in records]


@pytest.mark.parametrize("name", [*PLACES, *IN_FOLDER])
def test_what_is_added_reads_as_if_all_had_been_written_together(name: str, root: Path) -> None:
    path, form = place_of(name, root)
    old, new = (plain(OLD), plain(NEW)) if form == "lightly" else (OLD, NEW)
    writing.write(old, path, root, form)
    append(new, path, root, form, instead_of=())
    grown = read(path, root)
    path.unlink()
    writing.write([*old, *new], path, root, form)
    assert grown == read(path, root)
    assert {file: record.label for file, record in grown.items()} == {
        record.file: record.label for record in (*old, *new) if record.label or FORMATS[form].keeps_unlabelled
    }


@pytest.mark.parametrize("name", [*PLACES, *IN_FOLDER])
def test_rows_that_are_replaced_are_there_once(name: str, root: Path) -> None:
    path, form = place_of(name, root)
    old = plain(OLD) if form == "lightly" else OLD
    writing.write(old, path, root, form)
    spelt = names_in_file(path, root, ALL, Rules(trust="assigned"))["b 2.png"]
    append([LabelRecord(file="b 2.png", label="owl", source=ASSIGNED)], path, root, form, instead_of=spelt)
    assert read(path, root)["b 2.png"].label == "owl"
    assert read_labels(path, root, ALL, Rules(trust="given")).labels == {"a/1.png": old[0].label}
    assert len(names_in_file(path, root, ALL, Rules(trust="assigned"))) == len(old) - (form == "lightly")


@pytest.mark.parametrize("name", ["csv", "huggingface", "label-studio"])
def test_what_a_person_wrote_stays_byte_for_byte(name: str, root: Path) -> None:
    path, form = place_of(name, root)
    writing.write(OLD, path, root, form)
    before = path.read_text(encoding="utf-8").replace("dog", "wolf", 1)
    path.write_text(before, encoding="utf-8")
    append(NEW, path, root, form, instead_of=())
    assert path.read_text(encoding="utf-8").startswith(before.rstrip().removesuffix("]").rstrip())


def test_a_spreadsheets_separators_columns_and_line_ends_are_kept(root: Path) -> None:
    path = root.parent / "out.csv"
    text = '\ufeffremark;label;file;source\r\n"my;own";cat;c.png;given\r\n;dog;b 2.png;assigned'
    path.write_bytes(text.encode())
    append(NEW, path, root, "csv", instead_of=())
    assert path.read_bytes().decode() == f"{text}\r\n;owl;d.png;assigned\r\n;dog;e.png;given\r\n"
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file, delimiter=";")] == ["cat", "dog", "owl", "dog"]


def test_a_task_that_a_person_annotated_keeps_all_it_holds(root: Path) -> None:
    path = root.parent / "tasks.json"
    task = {"id": 7, "data": {"file": "c.png"}, "annotations": [{"lead_time": 1.5, "result": []}], "total": 1}
    path.write_text(json.dumps([task]), encoding="utf-8")
    append(NEW, path, root, "label-studio", instead_of={"nothing.png"})
    assert json.loads(path.read_text(encoding="utf-8"))[0] == task


def test_numbers_of_classes_in_a_file_of_fiftyone_stay_what_they_are(root: Path) -> None:
    path = root.parent / "labels.json"
    path.write_text(json.dumps({"classes": ["owl", "cat"], "labels": {"a/1": 1}}), encoding="utf-8")
    append(NEW, path, root, "fiftyone", instead_of=())
    assert {file: record.label for file, record in read(path, root).items()} == {
        "a/1.png": "cat",
        "d.png": "owl",
        "e.png": "dog",
    }


def test_a_csv_in_which_kmpls_labels_could_not_be_told_is_refused_and_stays(root: Path) -> None:
    path = root.parent / "out.csv"
    path.write_text("file,label\nc.png,cat\n", encoding="utf-8")
    with pytest.raises(
        FileError, match=r"out.csv: has no column source, .* put it back, or name a new file with --out"
    ):
        append(NEW, path, root, "csv", instead_of=())
    assert path.read_text(encoding="utf-8") == "file,label\nc.png,cat\n"
    assert [each.name for each in root.parent.iterdir() if each.is_file()] == ["out.csv"]


def test_a_file_that_has_become_one_of_another_form_is_refused(root: Path) -> None:
    path = root.parent / "out.csv"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(FileError, match=r"out.csv: is no longer of the form that kmpl wrote"):
        append(NEW, path, root, "csv", instead_of=())


def test_folders_of_images_take_no_rows() -> None:
    assert [name for name in FORMATS if not can_append(name)] == [
        "huggingface-folder",
        "fiftyone-folder",
        "imagefolder",
    ]
