"""Doubts about single images, on real photographs: a slip in the labels, and a class that nobody labelled."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import CLASSES, write_labels, write_photographs
from sklearn.datasets import load_digits

from kmpl.cli import main
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.formats.records import CLUSTER
from kmpl.labelling.doubts import unlike
from kmpl.labelling.job import prepare, run
from kmpl.labelling.label_table import records_of
from kmpl.labelling.stopping import curve_line
from kmpl.labelling.summary import check_line, check_record
from kmpl.method.step_interface import Steps, no_test_set

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """A folder in which five labels of five classes are given, one of them another class's; the sixth has none."""
    root = tmp_path_factory.mktemp("doubts")
    truth = write_photographs(root / "pictures", per_class=16)
    known = {file: name for file, name in truth.items() if name != CLASSES[-1]}
    write_labels(root / "labels.csv", known, per_class=6)
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    slip = next(row for row in rows[1:] if row[1] == CLASSES[0])
    slip[1] = CLASSES[1]
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    words = ["label", str(root / "pictures"), "--labels", str(root / "labels.csv"), "--out", str(root / "out.csv")]
    words += ["--backbone=efficientnet-lite0", "--threads=1", "--mlruns", str(root / "mlruns")]
    assert main([*words, "--gallery", str(root / "page.html")]) == 0
    return root, truth, slip[0]


def test_a_slip_is_named_and_stays(place: tuple[Path, dict[str, str], str]) -> None:
    root, _, slip = place
    with (root / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert rows[slip]["note"] == f"looks like {CLASSES[0]}"
    assert (rows[slip]["label"], rows[slip]["source"]) == (CLASSES[1], "given")
    suspected = [row for row in rows.values() if row["note"].startswith("looks like")]
    assert len(suspected) <= 3
    page = (root / "page.html").read_text(encoding="utf-8")
    assert "Given labels that look like another class" in page
    assert slip in page


def test_a_class_that_nobody_labelled_is_most_of_what_is_unlike(place: tuple[Path, dict[str, str], str]) -> None:
    root, truth, _ = place
    with (root / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    noted = [row for row in rows if row["note"] == "unlike what is labelled"]
    assert all(not row["label"] for row in noted)
    if noted:
        assert np.mean([truth[row["file"]] == CLASSES[-1] for row in noted]) >= 0.5


def test_far_points_are_unlike_and_few_labels_say_nothing() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal(size=(200, 5))
    far = rng.normal(size=(12, 5)) / 4 + 15
    features = np.concatenate([near, far])
    labels = np.full(212, -1)
    labels[:40] = 0
    found = unlike(features, labels)
    assert found[200:].all()
    assert found[40:200].mean() < 0.12
    assert not found[:40].any()
    labels[10:40] = -1
    assert not unlike(features, labels).any()


def test_the_curve_is_one_line() -> None:
    assert curve_line([(6, 0.5), (12, 0.75)]) == "By labels given so far, expected right of all: 6: 50 %, 12: 75 %"


def test_a_wrong_name_by_cluster_is_noted_and_the_first_line_says_what_such_names_are_worth() -> None:
    data, rng = load_digits(), np.random.default_rng(1000)
    pick = rng.permutation(len(data.data))[:400]
    truth, values = data.target[pick], (data.data[pick] / np.linalg.norm(data.data[pick], axis=1, keepdims=True))
    labels = truth.copy()
    labels[300:] = UNLABELLED
    wrong = np.flatnonzero(truth[40:300] != 0)[:6] + 40
    labels[wrong] = 0
    frozen = FrozenFeatures(values=values.astype(np.float32), validation=np.zeros((0, 64)), root=False, name="pixels")
    files = tuple(f"{i:03}.png" for i in range(400))
    folder = FolderImages(
        root=Path("digits"),
        files=files,
        images=torch.zeros((400, 1, 8, 8), dtype=torch.uint8),
        labels=labels,
        classes=tuple("0123456789"),
        digests=tuple(f"{i:064x}" for i in range(400)),
        left_out={},
        by_cluster=frozenset(files[40:300]),
        frozen=frozen,
    )
    job = prepare(folder, {"threads": 1, "backbone": "efficientnet-lite0", "folds": 2})
    _, table = run(job, Steps(evaluate=no_test_set("none")))
    noted = [record for record in records_of(table) if record.note.startswith("looks like")]
    by_cluster = {record.file for record in noted if record.source == CLUSTER}
    assert len(by_cluster & {files[i] for i in wrong}) >= 3
    assert len(by_cluster) <= 12, "of 260 most are right"
    assert table.choice.n_hidden <= 40, "they are no evidence"
    worth = "weigh half, and are no evidence until someone looks at the images"
    assert check_line(table).endswith(f"; 260 given labels that only name clusters {worth}")
    assert check_record(table)["given_by_cluster"] == 260
