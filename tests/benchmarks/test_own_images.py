"""``kmpl benchmark folder``: real digits as files, labelled by a few, held against the true labels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kmpl.benchmarks import own_images
from kmpl.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types


def test_the_files_are_the_set_and_the_labels_true_and_balanced(tmp_path: Path) -> None:
    labels = own_images.write("digits", tmp_path / "digits")
    assert len(list((tmp_path / "digits").iterdir())) == len(labels) == 1_797
    pixels = np.asarray(Image.open(tmp_path / "digits" / "00007.png"))
    np.testing.assert_array_equal(pixels, (load_digits().images[7] * (255 / 16)).round())
    own_images.write_labels(labels, 50, 3, tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(labels[int(row["file"][:5])] == int(row["label"]) for row in rows)
    assert np.bincount([int(row["label"]) for row in rows]).tolist() == [5] * 10


@pytest.mark.slow
def test_the_command_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--threads=1", "--pretrain.epochs=3", "--retrain.epochs=1", "--pseudo-labels.rounds=1", "--folds=2"]
    assert main(["benchmark", "folder", "digits", "--seeds", "1000", "--out", "results", *small]) == 0
    (row,) = json.loads((tmp_path / "results" / "folder-digits.json").read_text(encoding="utf-8"))["rows"]
    assert row["everything"] > 0.5
    assert "1,797 PNG files of digits, 50 of them labelled" in (tmp_path / "results" / "folder-digits.md").read_text()
