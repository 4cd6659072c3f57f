"""What a command says while it works and at its end: how long it takes, what the numbers are, what to do next."""

import csv
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from sweeping import here

from kmpl.datasets import registry

BRIEF = ["--threads=1", "--size=20", "--clustering.n-clusters=10", "--folds=2", "--pretext.up-to=0"]
BRIEF += [f"--{step}.{name}" for step in ("pretrain", "retrain") for name in ("epochs=1", "images-per-epoch=400")]
EARLY = ["--pseudo-labels.threshold=1", "--pseudo-labels.graph-threshold=1"]  # nothing is as sure as that
pytestmark = [
    pytest.mark.usefixtures("few_test_images"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),  # of MLflow's own import
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digits as files in a folder, four of each of two classes labelled by a CSV beside it."""
    folder, digits = tmp_path_factory.mktemp("minutes"), registry.read("MNIST", True)
    two = [i for i in range(400) if int(digits.labels[i]) in (0, 1)][:40]
    (folder / "photos").mkdir()
    rows: list[tuple[str, int]] = []
    for i in two:
        Image.fromarray(digits.images[i, 0].numpy()).save(folder / "photos" / f"{i:03}.png")
        rows.append((f"{i:03}.png", int(digits.labels[i])))
    given = [row for digit in (0, 1) for row in [r for r in rows if r[1] == digit][:4]]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *given])
    return folder


@pytest.fixture(scope="module")
def labelled(folder: Path) -> subprocess.CompletedProcess[str]:
    words = ("label", "photos", "--labels", "labels.csv", "--out", "out.csv", "--gallery", "page.html")
    return here(*words, *BRIEF, *EARLY, cwd=folder)


def test_a_log_has_training_accuracy_and_how_much_of_all_is_done(labelled: subprocess.CompletedProcess[str]) -> None:
    assert labelled.returncode == 0, labelled.stderr
    lines = [line for line in labelled.stdout.splitlines() if ": epoch 1/1, " in line]
    assert lines[0].startswith("pretrain: epoch 1/1, loss ")
    for line in lines:
        assert re.search(r", training accuracy \d+\.\d\d%.*; \d+% of all done, \d+ (s|min) left$", line), line
    shares = [int(re.findall(r"; (\d+)% of all", line)[0]) for line in lines]
    assert shares == sorted(shares)


def next_step(output: str) -> tuple[str, str]:
    """Return what a person should do next, and the command after it."""
    task, command = re.findall(r"^Next: (.*), then: (.*)$", output, re.MULTILINE)[0]
    return task, command


def test_it_says_why_the_rounds_ended_early_and_what_to_do_next(
    labelled: subprocess.CompletedProcess[str], folder: Path
) -> None:
    said = labelled.stdout
    assert "The rounds ended early, round 1: no pseudo-label reached the threshold." in said
    assert "Written: out.csv, out.check.json, page.html\n" in said
    task, again = next_step(said)
    assert task == "look at page.html, correct the column label of out.csv"
    assert again.startswith("kmpl label photos --labels out.csv --out out_2.csv --")
    assert said.splitlines()[-1] == "New pictures in the folder later: kmpl label photos --new-files"
    command = shlex.split(said.split("The model labels more: ")[1].splitlines()[0])
    assert command[:3] == ["kmpl", "predict", "more-images"]
    done = here("predict", "photos", *command[3:], cwd=folder)
    assert (done.returncode, done.stdout.count("\n")) == (0, 41)


def test_after_labelling_the_next_command_takes_the_corrected_file_and_keeps_it(folder: Path) -> None:
    words = ("label", "photos", "--labels", "labels.csv", "--out", "all.csv", "--threshold", "0")
    done = here(*words, *BRIEF, cwd=folder)
    assert done.returncode == 0, done.stderr
    task, again = next_step(done.stdout)
    assert task == "correct the column label of all.csv"
    assert again.startswith("kmpl label photos --labels all.csv --out all_2.csv --")
    assert " --threshold=0.0" in again
    written = (folder / "all.csv").read_text(encoding="utf-8")
    corrected = re.sub(r"^([^,]*),[01],(.*,assigned,[01],)$", r"\1,2,\2", written, count=1, flags=re.MULTILINE)
    assert corrected != written
    (folder / "all.csv").write_text(corrected, encoding="utf-8")
    done = here(*words, "--overwrite", *BRIEF, cwd=folder)
    assert done.returncode == 2
    assert "--out all.csv: has a label of yours that" in done.stderr
    assert (folder / "all.csv").read_text(encoding="utf-8") == corrected


def test_where_no_label_is_assigned_the_next_command_suggests_what_to_label(folder: Path) -> None:
    words = ("label", "photos", "--labels", "labels.csv", "--out", "none.csv", "--expect-accuracy", "0.999")
    done = here(*words, *BRIEF, cwd=folder)
    assert "so no label is assigned" in done.stdout
    task, again = next_step(done.stdout)
    assert task == "label the images that help most"
    assert again.startswith("kmpl suggest photos --labels labels.csv --budget 20 --out to_label")


def test_without_any_label_nothing_is_called_uncertain_and_the_next_command_labels_the_folder(folder: Path) -> None:
    brief = ("--threads=1", "--pretext.rounds=0")
    done = here("suggest", "photos", "--budget", "8", "--out", "to_label.csv", *brief, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 × no label in its cluster, 6 × between clusters" in done.stdout
    assert "certain" not in done.stdout + (folder / "to_label.csv").read_text(encoding="utf-8")
    assert "Next: fill in the column label of to_label.csv, then: " in done.stdout
    command = shlex.split(done.stdout.split("then: ")[1])
    assert command[1:] == [
        "label", "photos", "--labels", "to_label.csv", "--out", "pseudo_labels.csv", *brief
    ]  # fmt: skip
    with (folder / "to_label.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    filled = [rows[0], *([row[0], "ab"[i % 2], *row[2:]] for i, row in enumerate(rows[1:]))]
    with (folder / "to_label.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(filled)
    assert here(*command[1:], *BRIEF[1:], cwd=folder).returncode == 0


def test_with_labels_the_next_command_takes_all_of_them(folder: Path) -> None:
    words = ("suggest", "photos", "--labels", "labels.csv", "--budget", "8", "--out", "more.csv", "--overwrite")
    done = here(*words, *BRIEF, "--pretext.rounds=0", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "least certain" in done.stdout
    assert "fill in the column label of more.csv and add its files and labels to labels.csv, then: " in done.stdout
    assert re.search(r"kmpl label photos --labels labels.csv --out pseudo_labels(_2)?.csv --threads=1", done.stdout)


def test_labels_that_sub_folders_give_stay_where_they_are(folder: Path, tmp_path: Path) -> None:
    for i, path in enumerate(sorted((folder / "photos").iterdir())):
        place = tmp_path / "photos" / ("a" if i < 3 else "b" if i < 6 else ".") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    done = here("suggest", "photos", "--budget", "1", "--out", "a.csv", *BRIEF, "--pretext.rounds=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Next: move these images into the sub-folders of their classes, then: " in done.stdout
    assert "kmpl label photos --out pseudo_labels.csv" in done.stdout


def test_a_run_says_what_right_and_kept_are_and_why_it_ended_early(tmp_path: Path) -> None:
    done = here("run", "--config", "tiny.toml", "--labels", "60", "--pretrain.patience", "1", *EARLY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "pseudo-label ended early, round 1: no pseudo-label reached the threshold." in said
    assert "Kept:" not in said  # there is nothing in these columns
    done = here("run", "--config", "tiny.toml", "--labels", "60", "--retrain.epochs", "3", cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert "Kept: of the unlabelled images, those that got a pseudo-label; the others were not trained on." in said
    assert "ended early" not in said
    assert "100% of all done, 0 s left" in said


def test_a_sweep_says_what_its_points_are_how_long_it_takes_and_what_ended_early(tmp_path: Path) -> None:
    words = ("sweep", "--config", "tiny.toml", "--engine", "direct", "--ratios", "0.4,0.2", "--name", "early")
    done = here(*words, *EARLY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if ": epoch " in line]
    assert all(re.search(r"; \d+% of all done(, \d+ (s|min) left)?$", line) for line in lines)
    assert sum("left" in line for line in lines) >= len(lines) - 1
    said = " ".join(done.stdout.split())
    assert "Kept: of the unlabelled images, those that got a pseudo-label; the others were not trained on." in said
    assert "Test accuracy of pseudo-label minus that of labelled-only, in points, seed by seed: ratio 0.4: " in said
    assert "Rounds that ended early: ratio 0.4, pseudo-label: 1 of 1 at round 1: no pseudo-label reached" in said
