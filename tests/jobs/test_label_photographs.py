"""``kmpl label`` on real photographs: features of a backbone, what is promised of them, and the model that is left."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from photographs import CLASSES, write_labels, write_photographs
from sklearn.linear_model import LogisticRegression
from terminal import one_line

from kmpl.cli import main
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import read_folder
from kmpl.jobs import embed_folder
from kmpl.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types

PER_CLASS, LABELS = 14, 3


class Place:
    """A folder of photographs, three labels of each class, and the labelling of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "pictures"
        self.labels = root / "labels.csv"
        self.truth = write_photographs(self.folder, per_class=PER_CLASS)
        write_labels(self.labels, self.truth, per_class=LABELS)

    def label(self, *more: str) -> int:
        words = ["label", str(self.folder), "--labels", str(self.labels), "--out", str(self.root / "out.csv")]
        return main([*words, "--mlruns", str(self.root / "mlruns"), "--threads=1", *more])

    def rows(self, name: str = "out.csv") -> list[dict[str, str]]:
        with (self.root / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def done(place: Place) -> Place:
    gallery = str(place.root / "page.html")
    assert place.label("--backbone=efficientnet-lite0", "--gallery", gallery) == 0
    return place


@pytest.fixture(scope="module")
def run(done: Place) -> str:
    client = MlflowClient(f"sqlite:///{done.root}/mlruns/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("kmpl").experiment_id])
    assert run.data.params["backbone"] == "efficientnet-lite0"
    assert run.data.tags["backbone"] == "efficientnet-lite0"
    return str(run.info.run_id)


def test_labels_are_right_as_often_as_the_logistic_regression_on_the_same_features(done: Place) -> None:
    rows = done.rows()
    assert len(rows) == PER_CLASS * len(CLASSES)
    assigned = [row for row in rows if row["source"] == "assigned"]
    right = np.mean([row["label"] == done.truth[row["file"]] for row in assigned])
    images = read_folder(done.folder, done.labels)
    learning = LabelOptions(backbone="efficientnet-lite0", threads=1)
    frozen = embed_folder.embed(images, learning, Store(done.root / "mlruns" / "cache")).frozen
    assert frozen is not None
    given = images.labels >= 0
    model = LogisticRegression(C=10, max_iter=1_000).fit(frozen.values[given], images.labels[given])
    truth = np.array([images.classes.index(done.truth[file]) for file in images.files])
    assert right >= (model.predict(frozen.values[~given]) == truth[~given]).mean()
    assert all(row["label"] == done.truth[row["file"]] for row in rows if row["source"] == "given")


def test_what_is_expected_is_kept_and_said_with_its_evidence(done: Place) -> None:
    check = json.loads((done.root / "out.check.json").read_text(encoding="utf-8"))
    assert "other examples name" in check["said"]
    assert "hidden labels were found again" in check["said"]
    assigned = [row for row in done.rows() if row["source"] == "assigned"]
    right = np.mean([row["label"] == done.truth[row["file"]] for row in assigned])
    assert right >= check["expected_right"] - 0.05
    assert check["said"] in (done.root / "page.html").read_text(encoding="utf-8")


def test_the_model_names_new_photographs_and_is_no_surer_than_the_labels(
    done: Place, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new = done.root / "new"
    truth = write_photographs(new, per_class=4, seed=77)
    mlruns = str(done.root / "mlruns")
    assert main(["predict", str(new), "--model", run, "--mlruns", mlruns]) == 0
    predicted = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    right = np.mean([row["class"] == truth[Path(row["file"]).name] for row in predicted])
    sure = np.mean([float(row["probability"]) for row in predicted])
    assert right > 0.7
    assert abs(sure - np.mean([float(row["confidence"]) for row in done.rows() if row["source"] != "given"])) < 0.1


def test_the_model_becomes_files_that_say_the_same(done: Place, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    mlruns = str(done.root / "mlruns")
    onnx, weights = done.root / "model.onnx", done.root / "model.safetensors"
    command = ["export", "--model", run, "--onnx", str(onnx), "--safetensors", str(weights), "--mlruns", mlruns]
    assert main(command) == 0
    capsys.readouterr()
    answers = []
    few = done.root / "few"
    few.mkdir()
    for file in list(done.truth)[::6]:
        (few / file).symlink_to(done.folder / file)
    for model in (run, str(onnx), str(weights)):
        assert main(["predict", str(few), "--model", model, "--mlruns", mlruns]) == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        answers.append(np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows]))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-4)
    np.testing.assert_array_equal(answers[2], answers[0])


def test_one_label_a_class_is_enough_for_a_promise(place: Place, tmp_path: Path) -> None:
    """No label can be hidden then: the judges, and other examples, say what to expect."""
    labels = tmp_path / "one.csv"
    write_labels(labels, place.truth, per_class=1)
    out = tmp_path / "one-out.csv"
    words = ["label", str(place.folder), "--labels", str(labels), "--out", str(out), "--backbone=efficientnet-lite0"]
    assert main([*words, "--mlruns", str(place.root / "mlruns"), "--threads=1"]) == 0
    check = json.loads((tmp_path / "one-out.check.json").read_text(encoding="utf-8"))
    assert (check["hidden_labels"], check["found_again"]) == (0, 0)
    assert 0.1 < check["expected_right"] < check["expected_right_of_all_images"] < 1  # all are written, with caution
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["confidence"] for row in rows)
    right = np.mean([row["label"] == place.truth[row["file"]] for row in rows if row["source"] == "assigned"])
    assert right >= check["expected_right"] - 0.05


def test_features_from_a_file_give_labels_and_no_model(
    done: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = read_folder(done.folder, done.labels)
    rng = np.random.default_rng(0)
    middle = {name: rng.normal(size=16) for name in CLASSES}
    values = np.stack([middle[done.truth[file]] + rng.normal(size=16) / 4 for file in images.files])
    np.savez(tmp_path / "mine.npz", names=np.array(images.files), values=values.astype(np.float32))
    out = ["--out", str(tmp_path / "mine.csv"), "--mlruns", str(tmp_path / "mlruns"), "--threads=1"]
    words = ["label", str(done.folder), "--labels", str(done.labels), f"--backbone=features:{tmp_path / 'mine.npz'}"]
    assert main([*words, *out]) == 0
    said = capsys.readouterr().out
    assert "kmpl predict more-images" not in said
    assert "No model is left" in said
    with (tmp_path / "mine.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    assert np.mean([row["label"] == done.truth[row["file"]] for row in rows]) > 0.95


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--backbone=efficientnet", "did you mean 'efficientnet-lite0'?"),
        ("--backbone=features:absent.npz", "absent.npz: there is no such file of features"),
        ("--backbone=timm:resnet10t", "give --backbone-weights FILE"),
    ],
)
def test_a_backbone_that_is_not_there_is_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path, flag: str, words: str
) -> None:
    out = ["--out", str(tmp_path / "out.csv"), "--mlruns", str(tmp_path / "mlruns")]
    assert main(["label", str(place.folder), "--labels", str(place.labels), *out, flag]) == 2
    assert words in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out.csv").exists()


def test_labels_of_kmpls_own_that_are_handed_back_are_no_evidence(done: Place, tmp_path: Path) -> None:
    """kmpl finds its own guesses again; only what a person gave says how many are right."""
    rows = done.rows()
    wrong, *others = [row for row in rows if row["source"] == "assigned"]
    for row in others[:20]:
        row["label"] = row["source"] = row["assigned"] = ""  # still to be labelled
    wrong["label"] = done.truth[wrong["file"]]
    wrong["source"] = ""
    with (tmp_path / "corrected.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    words = ["label", str(done.folder), "--labels", str(tmp_path / "corrected.csv"), "--out", str(tmp_path / "out.csv")]
    words += ["--backbone=efficientnet-lite0", "--trust=assigned", "--threads=1"]
    assert main([*words, "--mlruns", str(tmp_path / "mlruns")]) == 0
    check = json.loads((tmp_path / "out.check.json").read_text(encoding="utf-8"))
    assert check["hidden_labels"] <= LABELS * len(CLASSES) + 1
    assert check["given"] > LABELS * len(CLASSES) + 1
