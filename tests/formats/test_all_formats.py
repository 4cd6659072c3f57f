"""All formats: what is written is read again, whole or not at all, and found by its content."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from kmpl.errors import FileError, UserError
from kmpl.formats.given_labels import GivenLabels, Rules
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.formats.registry import FORMATS, read_labels, recognise
from kmpl.formats.writing import check_place, name_for, remarks, write

RECORDS = (
    LabelRecord(file="a.png", label="cat", confidence=1.0, source=GIVEN, round=0),
    LabelRecord(file="b ü.png", label="dog", confidence=0.75, source=ASSIGNED, cluster=3, round=1),
    LabelRecord(file='sub dir/c, "d"; e.png', label="cat", confidence=0.5, source=CLUSTER, cluster=0),
    LabelRecord(file="sub dir/é+%#.png", confidence=0.25, cluster=2, note="unlike what is labelled", rank=4),
    LabelRecord(file="sub dir/a.png", label="007", confidence=0.9, source=ASSIGNED, note="looks like cat"),
    LabelRecord(file="deep/er/f.png"),
    LabelRecord(file="x_test.jpg", label="Käse süß", source=GIVEN),
)
FILES = tuple(record.file for record in RECORDS)
READABLE = sorted(name for name, form in FORMATS.items() if form.read is not None)
FOLDERS = sorted(name for name, form in FORMATS.items() if form.is_folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images, each of another shade."""
    folder = tmp_path / "my pictures"
    for shade, file in enumerate(FILES):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 20 * shade).save(folder / file)
    return folder


def written(name: str, root: Path, records: Sequence[LabelRecord] = RECORDS, suffix: str = "") -> Path:
    """Write records in a format, where that may lie."""
    suffix = suffix or (".jsonl" if name == "huggingface" else (FORMATS[name].suffixes or (".json",))[0])
    path = root / f"metadata{suffix}" if FORMATS[name].in_image_folder else root.parent / f"out{suffix}"
    write(records, path, root, name)
    return path


def read(path: Path, root: Path, files: Sequence[str] = FILES, **rules: str) -> GivenLabels:
    return read_labels(path, root, files, Rules(**rules))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in READABLE if name not in ("fiftyone", "lightly")])
def test_what_is_written_is_read_again(name: str, root: Path) -> None:
    form = FORMATS[name]
    for suffix in (".jsonl", ".parquet") if name == "huggingface" else ("",):
        path = written(name, root, suffix=suffix)
        assert form.read is not None
        found = [entry.record for entry in form.read(path)]
        kept = [record for record in RECORDS if record.label or form.keeps_unlabelled]
        assert found == kept, suffix


def test_fiftyone_keeps_labels_confidence_and_whose_they_are_by_name_without_suffix(root: Path) -> None:
    path = written("fiftyone", root)
    assert FORMATS["fiftyone"].read is not None
    found = [entry.record for entry in FORMATS["fiftyone"].read(path)]
    expected = [
        LabelRecord(
            file=record.file.rpartition(".")[0],
            label=record.label,
            confidence=record.confidence if record.label else None,
            source=record.source,
        )
        for record in RECORDS
    ]
    assert found == expected
    assert json.loads(path.read_text())["labels"]["deep/er/f"] is None


FIFTYONE_WROTE: dict[str, Any] = {
    "classes": None,
    "labels": {
        "a": {"label": "cat", "confidence": 1.0, "attributes": {"assigned": "", "source": "given"}},
        "b ü": {"label": "dog", "confidence": 0.75, "attributes": {"assigned": "dog", "source": "assigned"}},
        "deep/er/f": None,
        "sub dir/a": {"label": "007", "confidence": 0.9, "attributes": {"assigned": "007", "source": "assigned"}},
        'sub dir/c, "d"; e': {
            "label": "cat",
            "confidence": 0.5,
            "attributes": {"assigned": "cat", "source": "cluster"},
        },
        "sub dir/é+%#": None,
        "x_test": {
            "label": "Käse süß",
            "confidence": None,
            "attributes": {"assigned": "", "source": "given"},
        },
    },
}
"""What FiftyOne 1.22.1 exported of these records, after it had imported what kmpl wrote (docs/log/between-tools.md)."""


def test_what_fiftyone_exports_of_what_kmpl_wrote_is_read_with_the_source_of_each_label(root: Path) -> None:
    path = root.parent / "labels.json"
    path.write_text(json.dumps(FIFTYONE_WROTE), encoding="utf-8")
    people = {record.file: record.label for record in RECORDS if record.source in (GIVEN, CLUSTER)}
    assert read(path, root, trust="given").labels == people
    trusted = read(path, root, trust="assigned")
    assert trusted.unreviewed == {record.file for record in RECORDS if record.source == ASSIGNED}
    assert trusted.by_cluster == {record.file for record in RECORDS if record.source == CLUSTER}
    write(RECORDS, root.parent / "ours" / "labels.json", root, "fiftyone")
    ours = json.loads((root.parent / "ours" / "labels.json").read_text(encoding="utf-8"))["labels"]
    theirs = {
        name: value and {key: each for key, each in value.items() if each is not None}
        for name, value in FIFTYONE_WROTE["labels"].items()
    }
    assert ours == theirs


@pytest.mark.parametrize("name", READABLE)
def test_the_labels_of_each_format_are_those_that_count(name: str, root: Path) -> None:
    """A person's labels and named clusters count; kmpl's own do where they are trusted, and the content tells all."""
    path = written(name, root)
    assert recognise(path) in (name, "csv")
    people = {record.file: record.label for record in RECORDS if record.source in (GIVEN, CLUSTER)}
    everyone = {record.file: record.label for record in RECORDS if record.label}
    assert read(path, root, trust="given").labels == people
    trusted = read(path, root, trust="assigned")
    assert trusted.labels == everyone
    assert trusted.unreviewed == {record.file for record in RECORDS if record.source == ASSIGNED}
    assert trusted.by_cluster == {record.file for record in RECORDS if record.source == CLUSTER}


@pytest.mark.parametrize("name", ["parquet", "huggingface", "fiftyone", "lightly", "csv"])
def test_a_label_that_a_person_changed_in_the_file_is_theirs(name: str, root: Path) -> None:
    """Written, changed in one place, as a person or a script does, and given back."""
    path = written(name, root)
    if name == "parquet":
        table = pandas.read_parquet(path)
        table.loc[table["file"] == "b ü.png", "label"] = "cow"
        table.to_parquet(path)
    else:
        text = path.read_text(encoding="utf-8")
        before = {"fiftyone": '"label": "dog"', "huggingface": '"label": "dog"'}.get(name, "b ü.png,dog")
        assert text.count(before) == 1
        path.write_text(text.replace(before, before.replace("dog", "cow")), encoding="utf-8")
    assert read(path, root, trust="given").labels["b ü.png"] == "cow"
    found = read(path, root)
    assert found.labels["b ü.png"] == "cow"
    (note,) = found.notes
    assert "1 of 5 labels are kmpl's own (source=assigned) and count as given, too, because of 1 changed" in note


@pytest.mark.parametrize("name", READABLE)
def test_kmpls_own_labels_alone_are_refused_in_every_format(name: str, root: Path) -> None:
    path = written(name, root, [record for record in RECORDS if record.source == ASSIGNED])
    with pytest.raises(UserError, match=r"2 of 2 labels are kmpl's own .*--trust assigned"):
        read(path, root)


def test_a_format_that_is_named_wins_and_an_unknown_one_lists_all(root: Path) -> None:
    path = written("lightly", root)
    assert read(path, root, format="lightly", trust="given").labels["a.png"] == "cat"
    with pytest.raises(UserError, match="must name the columns file_name and label"):
        read(path, root, format="huggingface")
    with pytest.raises(UserError, match=r"ligtly.*lightly"):
        read(path, root, format="ligtly")
    with pytest.raises(UserError, match="is a folder"):
        read(path, root, format="imagefolder")


@pytest.mark.parametrize("name", READABLE)
def test_a_file_of_another_folder_is_refused_and_names_the_first_image(name: str, root: Path) -> None:
    path = written(name, root)
    with pytest.raises(UserError, match=r"has no image .*a(\.png)? \(and \d+ more\)"):
        read(path, root, ["other.png", "another.png"], trust="assigned")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"data": {"image": "a.png"}', "is no JSON of Label Studio"),
        ("[1, 2]", "task 1: is no task of Label Studio"),
        ('[{"data": {"text": "hello"}}]', r"task 1: names no image \(its data has text\)"),
        ('{"classes": ["a"], "labels": {"a": 3}}', "label a: there is no class 3 among 1"),
        ('{"classes": null, "labels": {"a": ["x", "y"]}}', "label a: is no class"),
        ('{"file_name": "a.png", "label": "x"}\n{"file_name": 3}', "line 2: names no file_name"),
        ('{"file_name": "a.png", "label": "x"}\n{"file_name"', "line 2: is no JSON"),
        ("PAR1 nothing", "is no Parquet"),
        ('{"a": 1}', "is JSON of no format that is known: a list of tasks"),
    ],
)
def test_damaged_files_are_refused_in_one_line(text: str, line: str, root: Path) -> None:
    path = root / "labels"
    path.write_text(text)
    with pytest.raises(UserError, match=line) as error:
        read(path, root)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_names_choose_the_format(tmp_path: Path) -> None:
    names = {
        "labels.csv": "csv",
        "labels": "csv",
        "labels.tsv": "csv",
        "big.parquet": "parquet",
        "tasks.json": "label-studio",
        "labels.json": "fiftyone",
        "metadata.csv": "huggingface",
        "METADATA.PARQUET": "huggingface",
    }
    assert {name: name_for(tmp_path / name) for name in names} == names
    assert name_for(tmp_path / "labels.csv", "lightly") == "lightly"
    with pytest.raises(UserError, match=r"labels.xlsx: its suffix is no format's; end it with .csv"):
        name_for(tmp_path / "labels.xlsx")


def test_the_reference_names_every_format_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    table = page.split("## Formats of labels")[1].split("\n\n**")[0]
    assert {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")} == set(FORMATS)


def test_places_where_a_format_is_of_no_use_are_refused_before_any_work(root: Path) -> None:
    with pytest.raises(UserError, match=r"Hugging Face reads it beside the images; name .*my pictures/metadata\.csv"):
        check_place(root.parent / "metadata.csv", root, "huggingface")
    check_place(root / "metadata.csv", root, "huggingface")
    with pytest.raises(UserError, match="exists; name a new folder"):
        check_place(root, root, "imagefolder")


def test_torchvision_loads_the_labels_that_were_meant(root: Path) -> None:
    out = root.parent / "out"
    write(RECORDS, out, root, "imagefolder")
    data = ImageFolder(out)
    labels = {int(image.convert("L").getpixel((0, 0))): data.classes[index] for image, index in data}
    assert labels == {20 * shade: record.label for shade, record in enumerate(RECORDS) if record.label}
    (remark,) = remarks(RECORDS, out, "imagefolder")
    assert "2 images have no label and are not in it" in remark


@pytest.mark.parametrize("name", FOLDERS)
def test_originals_stay_and_what_is_written_is_linked_to_them(name: str, root: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    out = root.parent / "out"
    write(RECORDS, out, root, name)
    assert {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()} == before
    images = [path for path in out.rglob("*") if path.suffix in (".png", ".jpg")]
    assert len(images) == sum(bool(record.label) or FORMATS[name].keeps_unlabelled for record in RECORDS)
    assert all(path.stat().st_nlink == 2 for path in images)


def test_where_there_are_no_links_there_are_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write(RECORDS, root.parent / "out", root, "imagefolder")
    assert (root.parent / "out" / "cat" / "a.png").read_bytes() == (root / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("fiftyone", {"file": "a.jpg"}, "FiftyOne calls a.png and a.jpg both a; rename one of them"),
        ("lightly", {"label": "big, red"}, "LightlyTrain reads 'big, red' as several classes"),
        ("imagefolder", {"label": "cat/dog"}, "the class 'cat/dog' cannot be a folder"),
        ("fiftyone-folder", {"label": ".."}, "the class '..' cannot be a folder"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_left(
    name: str, change: dict[str, str], line: str, root: Path
) -> None:
    (root / "a.jpg").write_bytes((root / "a.png").read_bytes())
    records = [RECORDS[0], replace(RECORDS[0], **change)]  # type: ignore[arg-type]
    before = sorted(root.parent.iterdir())
    with pytest.raises(FileError, match=line) as error:
        write(records, root.parent / "out", root, name)
    assert str(error.value).startswith(str(root.parent / "out"))
    assert sorted(root.parent.iterdir()) == before


def test_lightly_gets_paths_that_it_finds(root: Path) -> None:
    write(RECORDS, root.parent / "l.csv", root, "lightly")
    rows = list(csv.DictReader((root.parent / "l.csv").read_text(encoding="utf-8").splitlines()))
    assert all(Path(row["image_path"]).is_file() for row in rows)
    assert len(rows) == 5
    write(RECORDS, root / "l.csv", root, "lightly")
    assert (root / "l.csv").read_text().splitlines()[1].startswith("a.png,cat,")


def test_names_by_which_hugging_face_loads_an_image_alone_are_said(root: Path) -> None:
    (line,) = remarks(RECORDS, root / "metadata.jsonl", "huggingface")
    assert "may load x_test.jpg alone, for its name; --out-format huggingface-folder avoids that" in line
    others = [replace(RECORDS[0], file=file) for file in ("contest.png", "trainer/a.png", "devil.png", "latest 1.png")]
    assert not remarks(others, root / "metadata.jsonl", "huggingface")


@pytest.mark.parametrize(("label", "remark"), [("NA", "NA in a CSV as no label"), ("007", "007 in a CSV as 7")])
def test_class_names_that_hugging_face_changes_are_named(label: str, remark: str, root: Path) -> None:
    records = [replace(RECORDS[0], label=label)]
    (line,) = remarks(records, root / "metadata.csv", "huggingface")
    assert remark in line
    assert not remarks(records, root / "metadata.jsonl", "huggingface")
