"""Tasks: which image each is about, what new ones hold, and what a pulled CSV keeps of labels by hand."""

from pathlib import Path

import pytest

from kmpl.errors import UserError
from kmpl.formats.given_labels import NO_RULES
from kmpl.formats.image_names import ImageNames
from kmpl.formats.kmpl_csv import text
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.jobs.label_records import records_of_file
from kmpl.label_studio import pull
from kmpl.label_studio.interface import interface_for, read_interface
from kmpl.label_studio.tasks import file_of, new_task, prediction

FILES = ("a.png", "b (1).png", "sub dir/x y.png")
INTERFACE = read_interface(interface_for(["cat", "dog"]))


@pytest.mark.parametrize(
    ("data", "file"),
    [
        ({"file": "sub dir/x y.png", "image": "/data/upload/3/0a1b2c3d-x_y.png"}, "sub dir/x y.png"),
        ({"image": "/data/local-files/?d=deep/photos/sub%20dir/x%20y.png"}, "sub dir/x y.png"),
        ({"image": "/data/upload/3/0a1b2c3d-b_1.png"}, "b (1).png"),
        ({"file": "c.png", "image": "/data/local-files/?d=others/c.png"}, ""),
        ({"text": "no image"}, ""),
        ({"image": ["a.png"]}, ""),
    ],
)
def test_an_image_is_found_by_its_path_or_else_by_its_address(data: dict[str, object], file: str) -> None:
    assert file_of(data, "image", ImageNames(Path("photos"), FILES)) == file


def test_a_given_label_is_an_annotation_and_kmpls_own_a_prediction_with_a_score() -> None:
    given = new_task(LabelRecord(file="a.png", label="cat", source=GIVEN), "/a", INTERFACE)
    assigned = LabelRecord(file="b (1).png", label="dog", source=ASSIGNED, confidence=0.8)
    assert given["data"] == {"file": "a.png", "image": "/a"}
    assert given["annotations"][0]["result"][0]["value"] == {"choices": ["cat"]}
    assert set(new_task(assigned, "/b", INTERFACE)) == {"data"}
    sent = prediction(assigned, 7, INTERFACE, "kmpl 1")
    assert (sent["task"], sent["score"], sent["model_version"]) == (7, 0.8, "kmpl 1")
    assert sent["result"][0]["from_name"] == "choice"


def test_who_gave_a_label_is_known_from_kmpls_csv_though_a_person_corrected_some(tmp_path: Path) -> None:
    rows = [
        LabelRecord(file="a.png", label="cat", source=GIVEN, confidence=1.0, round=0),
        LabelRecord(file="b (1).png", label="dog", source=ASSIGNED, confidence=0.8, cluster=4),
        LabelRecord(file="sub dir/x y.png", label="cat", source=ASSIGNED, confidence=0.6),
    ]
    path = tmp_path / "labels.csv"
    path.write_text(text(rows).replace("x y.png,cat", "x y.png,dog"))
    records, _ = records_of_file(path, tmp_path, FILES, NO_RULES)
    assert [(r.label, r.source, r.confidence) for r in records] == [
        ("cat", GIVEN, 1.0),
        ("dog", ASSIGNED, 0.8),
        ("dog", GIVEN, 0.6),
    ]


def test_a_label_by_cluster_is_no_given_one_and_numbers_must_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"file,label,confidence,source\na.png,cat,0.5,{CLUSTER}\n")
    ((record,), _) = records_of_file(path, tmp_path, FILES, NO_RULES)
    assert (record.source, record.confidence) == (CLUSTER, 0.5)
    path.write_text("file,label,confidence\na.png,cat,high\n")
    with pytest.raises(UserError, match="a confidence, cluster or round is no number"):
        records_of_file(path, tmp_path, FILES, NO_RULES)


def test_pulled_labels_may_change_and_labels_by_hand_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    pull.write({"a.png": "cat", "b (1).png": "dog"}, out)
    assert out.read_text() == "file,label,source,pulled\na.png,cat,given,cat\nb (1).png,dog,given,dog\n"
    changed = {"a.png": "dog", "b (1).png": "dog"}

    def check() -> None:
        pull.check_out(out, changed, pull.pulled_before(out), root=tmp_path, files=FILES)

    check()
    out.write_text(out.read_text().replace("b (1).png,dog,given", "b (1).png,cow,given"))
    with pytest.raises(UserError, match=r"has a label of yours .* \(first: b \(1\).png, cow\)"):
        check()
    out.write_text("file,label\na.png,cow\n")
    with pytest.raises(UserError, match=r"has a label of yours .* \(first: a.png, cow\)"):
        check()
