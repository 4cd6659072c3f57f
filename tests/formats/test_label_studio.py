"""Label Studio's exports as its server writes them: addresses, annotations that differ, what was cancelled."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kmpl.errors import UserError
from kmpl.formats.given_labels import GivenLabels
from kmpl.formats.label_studio import labelling_interface, task
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.formats.registry import read_labels, recognise

FILES = ("a.png", "b (1).png", "sub dir/x y.png", "sub dir/z.png", "z.png")
TABLE = "annotation_id,annotator,choice,created_at,id,image,lead_time,updated_at\n"


def annotated(*choices: str, cancelled: bool = False, kind: str = "choices") -> dict[str, Any]:
    value = {"choices": list(choices)} if kind == "choices" else {"x": 1, "rectanglelabels": list(choices)}
    result = [{"from_name": "choice", "to_name": "image", "type": kind, "value": value}]
    return {"id": 1, "was_cancelled": cancelled, "result": result if choices else []}


def local(path: str) -> str:
    return f"/data/local-files/?d={path}"


def exported(folder: Path, tasks: Sequence[dict[str, Any]]) -> GivenLabels:
    path = folder / "export.json"
    path.write_text(json.dumps(list(tasks)))
    assert recognise(path) == "label-studio"
    return read_labels(path, folder / "photos", FILES)


def test_images_are_found_by_their_addresses(tmp_path: Path) -> None:
    found = exported(
        tmp_path,
        [
            {"data": {"image": local("photos/sub%20dir/x%20y.png")}, "annotations": [annotated("cat")]},
            {"data": {"image": "/data/upload/3/0a1b2c3d-b_1.png"}, "annotations": [annotated("dog")]},
            {"data": {"img": "http://localhost:8080/data/upload/3/0a1b2c3d-a.png"}, "annotations": [annotated("cow")]},
        ],
    )
    assert found.labels == {"sub dir/x y.png": "cat", "b (1).png": "dog", "a.png": "cow"}
    assert not found.notes


def test_uploads_whose_name_is_that_of_two_images_and_images_of_elsewhere_are_named(tmp_path: Path) -> None:
    found = exported(
        tmp_path,
        [
            {"data": {"image": "/data/upload/3/0a1b2c3d-z.png"}, "annotations": [annotated("cat")]},
            {"data": {"image": "/data/upload/3/0a1b2c3d-nowhere.png"}, "annotations": [annotated("cat")]},
            {"data": {"image": local("photos/a.png")}, "annotations": [annotated("cat")]},
        ],
    )
    assert found.labels == {"a.png": "cat"}
    (note,) = found.notes
    assert note.startswith("2 entries name no image of")
    assert "z.png may be sub dir/z.png or z.png" in note
    assert "nowhere.png" in note


def test_annotations_that_differ_give_no_label_and_equal_ones_do(tmp_path: Path) -> None:
    found = exported(
        tmp_path,
        [
            {"data": {"image": local("photos/a.png")}, "annotations": [annotated("cat"), annotated("dog")]},
            {"data": {"image": local("photos/z.png")}, "annotations": [annotated("cat"), annotated("cat")]},
        ],
    )
    assert found.labels == {"z.png": "cat"}
    assert found.notes == (
        "1 image has annotations that differ and so no label: a.png (cat or dog); decide there, and export again",
    )


def test_what_was_cancelled_is_no_label_and_a_prediction_is_kmpls(tmp_path: Path) -> None:
    prediction = {"model_version": "kmpl", "score": 0.9, "result": annotated("dog")["result"]}
    found = exported(
        tmp_path,
        [
            {"data": {"image": local("photos/a.png")}, "annotations": [annotated("cat", cancelled=True)]},
            {"data": {"image": local("photos/z.png")}, "annotations": [annotated("cat")], "predictions": [prediction]},
            {"data": {"image": local("photos/b (1).png")}, "annotations": [], "predictions": [prediction]},
        ],
    )
    assert found.labels == {"z.png": "cat"}
    (note,) = found.notes
    assert note.startswith("1 of 2 labels are kmpl's own")


@pytest.mark.parametrize(
    ("annotation", "line"),
    [
        (annotated("cat", kind="rectanglelabels"), "task 1: has annotations of the kind rectanglelabels; only choices"),
        (annotated("cat", "dog"), "task 1: gives several classes, cat, dog; give one"),
    ],
)
def test_boxes_and_several_classes_are_refused(annotation: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        exported(tmp_path, [{"data": {"image": local("photos/a.png")}, "annotations": [annotation]}])


def test_the_short_export_is_read_too(tmp_path: Path) -> None:
    found = exported(
        tmp_path,
        [
            {"image": local("photos/a.png"), "id": 1, "choice": "cat", "annotation_id": 1},
            {"image": local("photos/z.png"), "id": 2, "choice": {"choices": ["dog"]}, "annotation_id": 2},
            {"image": local("photos/sub dir/z.png"), "id": 3},
        ],
    )
    assert found.labels == {"a.png": "cat", "z.png": "dog"}


@pytest.mark.parametrize("separator", [",", "\t"])
def test_the_export_as_table_is_read_too(separator: str, tmp_path: Path) -> None:
    rows = (
        f"2,1,dog,2026-11-30,7,{local('photos/a.png')},3.5,2026-11-30\n"
        "3,1,cat,2026-11-30,8,/data/upload/3/0a1b2c3d-b_1.png,1.5,2026-11-30\n"
        "4,1,cow,2026-11-30,9,/data/upload/3/0a1b2c3d-z.png,1.5,2026-11-30\n"
        f"5,2,cat,2026-11-30,10,{local('photos/sub%20dir/x%20y.png')},1.5,2026-11-30\n"
        f"6,1,cow,2026-11-30,10,{local('photos/sub%20dir/x%20y.png')},1.5,2026-11-30\n"
    )
    path = tmp_path / "export.csv"
    path.write_text((TABLE + rows).replace(",", separator))
    found = read_labels(path, tmp_path / "photos", FILES)
    assert found.labels == {"a.png": "dog", "b (1).png": "cat"}
    missing, disputed = found.notes
    assert "z.png may be sub dir/z.png or z.png" in missing
    assert "sub dir/x y.png (cat or cow)" in disputed


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("annotation_id,annotator,created_at,id,lead_time,updated_at\n", "nothing is annotated yet"),
        (TABLE.replace("image", "photo"), r"no column is called file or .*image \(there are choice, photo\)"),
        (TABLE.replace("choice", "animal"), r"no column is called label or choice \(there are animal, image\)"),
    ],
)
def test_tables_without_the_columns_say_why(head: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(head)
    with pytest.raises(UserError, match=line):
        read_labels(path, tmp_path / "photos", FILES)


def test_an_image_whose_long_name_was_cut_is_found(tmp_path: Path) -> None:
    name = f"{'long name ' * 9}7.png"
    path = tmp_path / "export.json"
    cut = name.replace(" ", "_")[:60]
    image = f"/data/upload/12/0a1b2c3d-{cut}.png"
    path.write_text(json.dumps([{"data": {"image": image}, "annotations": [annotated("cat")]}]))
    assert read_labels(path, tmp_path, ["a.png", name]).labels == {name: "cat"}


def test_tasks_are_written_with_given_labels_as_annotations_and_others_as_predictions_with_a_score() -> None:
    given = task(LabelRecord(file="sub dir/a.png", label="cat", source=GIVEN), "my photos")
    assigned = task(LabelRecord(file="b.png", label="dog", source=ASSIGNED, confidence=0.8, cluster=4), "my photos")
    empty = task(LabelRecord(file="c.png"), "my photos")
    assert given["data"]["image"] == "/data/local-files/?d=my%20photos/sub%20dir/a.png"
    assert given["annotations"][0]["result"][0]["value"] == {"choices": ["cat"]}
    (prediction,) = assigned["predictions"]
    assert (prediction["score"], prediction["model_version"]) == (0.8, "kmpl")
    assert assigned["data"]["cluster"] == 4
    assert "choice" not in assigned["data"]
    assert set(empty) == {"data"}


def test_the_interface_offers_the_classes_and_names_with_signs_are_quoted() -> None:
    text = labelling_interface([LabelRecord(file="a", label='a "b" <c>'), LabelRecord(file="b", label="z & y")])
    assert text.count("<Choice ") == 2
    assert "&lt;c&gt;" in text
    assert "z &amp; y" in text


def test_a_large_export_is_streamed(tmp_path: Path) -> None:
    """Sixty thousand tasks of a kilobyte: read at once they would take several times their size."""
    path = tmp_path / "export.json"
    files = [f"{number:06}.png" for number in range(20_000)]
    filler = "x" * 1000
    with path.open("w") as file:
        for number, name in enumerate(files):
            text = {"data": {"image": local(name), "text": filler}, "annotations": [annotated("cat")]}
            file.write(("[" if number == 0 else ",") + json.dumps(text))
        file.write("]")
    tracemalloc.start()
    try:
        found = read_labels(path, tmp_path, files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.labels) == 20_000
    assert peak < path.stat().st_size
