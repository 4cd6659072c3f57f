"""``kmpl label`` and ``kmpl suggest`` in shards: the files that they write, and what is refused."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from photographs import write_labels, write_photographs
from PIL import Image
from sklearn.datasets import load_digits
from sweeping import here
from tiny_backbone import write_backbone

from kmpl.config.labelling import check_shards
from kmpl.datasets.feature_shards import named_shards
from kmpl.errors import FileError, UserError
from kmpl.formats import shard_files
from kmpl.formats.given_labels import Rules
from kmpl.formats.records import LabelRecord
from kmpl.formats.registry import read_labels
from kmpl.jobs import shard_scratch, sharded_folder

N, LABELLED = 120, 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of digits, their features in three shards, and a few labels."""
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    digits = load_digits()
    for name in ("photos", "numbers"):
        (tmp_path / name).mkdir()
    for i in range(N):
        Image.fromarray((digits.images[i] * 15).astype("uint8")).save(tmp_path / "photos" / f"{i:03}.png")
    for part in np.array_split(np.arange(N), 3):
        np.save(tmp_path / "numbers" / f"{part[0]:03}.npy", digits.data[part].astype(np.float32))
        names = "\n".join(f"{i:03}.png" for i in part)
        (tmp_path / "numbers" / f"{part[0]:03}.txt").write_text(names + "\n")
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *((f"{i:03}.png", digits.target[i]) for i in range(LABELLED))])
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_labelled_in_shards_from_its_pictures(folder: Path) -> None:
    backbone = write_backbone(folder / "means.onnx")
    (folder / "photos" / "050b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    command = ["label", "photos", "--labels", "labels.csv", "--out", "out.csv", "--shards", "4", "--folds", "2"]
    done = here(*command, "--backbone", backbone, "--threshold", "0", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "050b.png" in done.stderr
    assert "Way: features of onnx:" in done.stdout
    assert "in 4 shards" in done.stdout
    assert "out.shards" in done.stdout
    rows = rows_of(folder / "out.csv")
    assert [row["file"] for row in rows] == [f"{i:03}.png" for i in range(N)]
    truth = load_digits().target[:N].astype(str)
    assert [row["label"] for row in rows[:LABELLED]] == list(truth[:LABELLED])
    assert np.mean([row["label"] == c for row, c in zip(rows[LABELLED:], truth[LABELLED:], strict=True)]) > 0.7
    parts = [pyarrow.parquet.read_table(path) for path in sorted((folder / "out.shards").iterdir())]
    assert [len(part) for part in parts] == [31, 30, 31, 28]
    joined = pyarrow.concat_tables(parts).to_pylist()
    assert [(row["file"], row["label"] or "", row["source"]) for row in joined] == [
        (row["file"], row["label"], row["source"]) for row in rows
    ]
    check = json.loads((folder / "out.check.json").read_text())
    assert (check["images"], check["given"], check["hidden_labels"]) == (N, LABELLED, LABELLED)
    assert not list((folder / "scratch" / "shards").iterdir())


def test_features_in_shards_are_labelled_and_asked_about(folder: Path) -> None:
    known = ["--backbone", "features:numbers", "--labels", "labels.csv"]
    done = here("label", "photos", *known, "--out", "out.csv", "--check", "off", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(rows_of(folder / "out.csv")) == N
    assert len(list((folder / "out.shards").iterdir())) == 3
    assert "No model is left" in done.stdout
    again = here("label", "photos", *known, "--out", "out.csv", "--check", "off", cwd=folder)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    done = here("suggest", "photos", *known, "--budget", "60", "--out", "ask.csv", "--sheet", "ask.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    asked = rows_of(folder / "ask.csv")
    assert len({row["file"] for row in asked}) == len(asked) <= 60
    assert not {row["file"] for row in asked} & {f"{i:03}.png" for i in range(LABELLED)}
    assert {row["reason"] for row in asked} == {"least certain"}  # 40 labels are in every one of 6 clusters
    assert f"of {N} images to label next" in done.stdout
    (folder / "photos" / "labels.csv").unlink(missing_ok=True)
    done = here("suggest", "photos", "--backbone", "features:numbers", "--budget", "9", "--out", "new.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(rows_of(folder / "new.csv")) == 9


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            ["--backbone", "auto", "--shards", "2"],
            "--backbone auto: shards hold features of a backbone; give the name of one",
        ),
        (["--backbone", "features:numbers", "--validation", "0.1"], "validation: a labelling in shards does not"),
        (["--backbone", "features:numbers", "--clustering.algorithm=mini-batch"], "clustering.algorithm: a label"),
        (["--backbone", "features:numbers", "--gallery", "g.html"], "--gallery: shows pictures that are in memory"),
        (["--backbone", "features:numbers", "--out", "o.parquet"], "labels of shards are a CSV, with Parquet files"),
        (["--backbone", "features:photos"], "photos: has no shard of features; write NAME.npy and NAME.txt"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(folder: Path, more: list[str], line: str) -> None:
    out = [] if "--out" in more else ["--out", "o.csv"]
    done = here("label", "photos", "--labels", "labels.csv", *out, *more, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert line in done.stderr
    assert not list(folder.glob("o.*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def text(path: Path) -> None:
    path.write_text("no array")


def three_numbers(path: Path) -> None:
    np.save(path, np.ones((40, 3), dtype=np.float32))


def flat(path: Path) -> None:
    np.save(path, np.ones(40, dtype=np.float32))


def objects(path: Path) -> None:
    np.save(path, np.array([{}, []], dtype=object))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (cut, r"040\.npy cannot be read: .*; write this shard again"),
        (text, r"040\.npy cannot be read: "),
        (objects, r"040\.npy cannot be read: "),
        (three_numbers, r"040\.npy: has the shape \(40, 3\), the first shard \(40, 64\); give equal rows"),
        (flat, r"040\.npy: has the shape \(40,\)"),
    ],
)
def test_a_damaged_shard_is_named(folder: Path, damage: Callable[[Path], None], line: str) -> None:
    damage(folder / "numbers" / "040.npy")
    with pytest.raises(FileError, match=line) as error:
        named_shards(folder / "numbers")
    assert "\n" not in str(error.value)


def test_names_that_do_not_fit_a_shard_are_refused(folder: Path) -> None:
    beside = folder / "numbers" / "040.txt"
    names = beside.read_text()
    beside.write_text(names + "more.png\n")
    with pytest.raises(FileError, match=r"040\.txt: 41 names, but 040\.npy has 40 rows; give each a name"):
        named_shards(folder / "numbers")
    beside.write_text(names.replace("041.png", "003.png"))
    with pytest.raises(FileError, match=r"003\.png comes twice; give each image one row"):
        named_shards(folder / "numbers")
    beside.unlink()
    with pytest.raises(FileError, match=r"the names of 040\.npy cannot be read: No such file"):
        named_shards(folder / "numbers")


def test_many_images_are_labelled_in_shards_if_a_backbone_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = folder / "photos"
    assert not sharded_folder.wanted(photos, {"backbone": "efficientnet-lite0"})
    assert sharded_folder.wanted(photos, {"backbone": f"features:{folder / 'numbers'}"})
    assert sharded_folder.wanted(photos, {"shards": 2})
    monkeypatch.setattr(sharded_folder, "MOST_IN_MEMORY", N - 1)
    assert sharded_folder.wanted(photos, {"backbone": "efficientnet-lite0"})
    assert not sharded_folder.wanted(photos, {})
    assert not sharded_folder.wanted(photos, {"backbone": "none"})
    with pytest.raises(UserError, match="shards hold features of a backbone"):
        check_shards({"shards": 2})


def test_what_a_killed_run_left_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    with shard_scratch.own_folder(tmp_path) as living:
        (tmp_path / "shards" / "dead").mkdir()
        (tmp_path / "shards" / "dead.lock").touch()
        living.write("x", [np.ones((2, 3))])
        with shard_scratch.own_folder(tmp_path) as other:
            assert living.folder.is_dir()
            assert living.folder != other.folder
            assert not (tmp_path / "shards" / "dead").exists()
    assert not list((tmp_path / "shards").iterdir())


def test_a_full_scratch_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match="No space left on device"), shard_scratch.own_folder(tmp_path) as folder:
        folder.write("x", [np.ones((2, 3))])
    assert not list((tmp_path / "shards").iterdir())


def test_labels_of_shards_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def broken() -> Iterator[LabelRecord]:
        yield LabelRecord(file="a.png")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device"):
        shard_files.write(broken(), [1, 1], out)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.shards").mkdir()
    (tmp_path / "out.shards" / "mine.txt").touch()
    with pytest.raises(FileError, match="it holds other things; give --out another name"):
        shard_files.check_place(out, overwrite=True)


def test_the_csv_is_read_back_as_given_labels(folder: Path) -> None:
    command = ["label", "photos", "--backbone", "features:numbers", "--labels", "labels.csv", "--out", "out.csv"]
    assert here(*command, "--check", "off", cwd=folder).returncode == 0
    found = read_labels(
        folder / "out.csv", folder / "photos", [f"{i:03}.png" for i in range(N)], Rules(trust="assigned")
    )
    assert len(found.labels) > LABELLED
    assert len(found.unreviewed) == len(found.labels) - LABELLED


@pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # of MLflow's own import
def test_the_model_that_is_left_sees_pictures_and_names_them_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    truth = write_photographs(tmp_path / "photos", per_class=4)
    write_labels(tmp_path / "labels.csv", truth, per_class=2)
    command = ["label", "photos", "--labels", "labels.csv", "--out", "out.csv", "--shards", "2", "--threads", "1"]
    command += ["--backbone", "efficientnet-lite0", "--precision", "float32", "--check", "off", "--threshold", "0"]
    done = here(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = done.stdout.split("--model ")[1].split()[0]
    named = here("predict", "photos", "--model", run, "--out", "classes.csv", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    labels = {row["file"]: row["label"] for row in rows_of(tmp_path / "out.csv") if row["source"] == "assigned"}
    classes = {Path(row["file"]).name: row["class"] for row in rows_of(tmp_path / "classes.csv")}
    assert len(labels) == 12
    assert labels == {file: classes[file] for file in labels}
