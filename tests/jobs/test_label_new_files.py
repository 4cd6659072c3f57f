"""``kmpl label --new-files``: a folder that grew, the table that gets more rows, drift, and what is refused."""

import csv
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from photographs import CLASSES, write_labels, write_photographs
from PIL import Image
from sklearn.datasets import load_digits
from tracking_names import undocumented, unseen

from kmpl import tracking
from kmpl.cli import main
from kmpl.datasets.new_files import FolderChanges, compare
from kmpl.formats.huggingface import FILE
from kmpl.jobs.table_lock import table_lock
from kmpl.runtime.files import digests_of, sha256
from kmpl.runtime.typed_command import next_command
from kmpl.tracking.client import search

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types

PER_CLASS, LABELS = 10, 3
Refused = Callable[..., str]


class Place:
    """A folder of photographs that was labelled, as it was then before each test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "pictures"
        self.labels = root / "labels.csv"
        self.out = root / "out.csv"
        self.truth = write_photographs(self.folder, per_class=PER_CLASS)
        write_labels(self.labels, self.truth, per_class=LABELS)
        words = ["label", str(self.folder), "--labels", str(self.labels), "--out", str(self.out)]
        assert main([*words, "--mlruns", str(root / "mlruns"), "--threads=1", "--backbone=efficientnet-lite0"]) == 0
        self.before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and self._is_own(path)}
        [self.run] = [run.info.run_id for run in self.runs("labelling")]

    def _is_own(self, path: Path) -> bool:
        return "mlruns" not in path.parts

    def runs(self, kind: str) -> list[Run]:
        client = MlflowClient(f"sqlite:///{self.root}/mlruns/mlflow.db")
        experiment = client.get_experiment_by_name("kmpl").experiment_id
        return list(client.search_runs([experiment], f"tags.kind = '{kind}'", order_by=["start_time DESC"]))

    def again(self, *more: str) -> int:
        words = ["label", str(self.folder), "--new-files", "--threads=1"]
        return main([*words, "--mlruns", str(self.root / "mlruns"), *more])

    def rows(self, path: Path | None = None) -> dict[str, dict[str, str]]:
        with (path or self.out).open(encoding="utf-8", newline="") as file:
            return {row["file"]: row for row in csv.DictReader(file)}

    def said(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.root / "out.new-files.json").read_text(encoding="utf-8"))
        return found

    def restore(self) -> None:
        client = MlflowClient(f"sqlite:///{self.root}/mlruns/mlflow.db")
        for run in [*self.runs("new-files"), *self.runs("labelling")]:
            if run.info.run_id != self.run:
                client.delete_run(run.info.run_id)
        for path in self.root.rglob("*"):
            if path.is_file() and self._is_own(path) and path not in self.before:
                path.unlink()
        for path, content in self.before.items():
            path.write_bytes(content)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("grows"))


@pytest.fixture
def place(labelled: Place) -> Iterator[Place]:
    yield labelled
    labelled.restore()


def test_new_files_get_rows_and_all_else_stays_byte_for_byte(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_photographs(place.folder, per_class=4, seed=7)
    old = place.out.read_bytes()
    assert place.again() == 0
    said = capsys.readouterr().out
    assert place.out.read_bytes().startswith(old)
    rows = place.rows()
    assert set(rows) == {*place.truth, *truth}
    assigned = [file for file in truth if rows[file]["source"] == "assigned"]
    assert len(assigned) > len(truth) / 2
    assert np.mean([rows[file]["label"] == truth[file] for file in assigned]) > 0.8
    assert all(rows[file]["assigned"] == rows[file]["label"] for file in truth)
    assert all(0 <= float(rows[file]["confidence"]) <= 1 and rows[file]["cluster"] for file in truth)
    assert f"24 new images; the model of run {place.run} names them." in said
    assert "\nThe new images look like the old ones: " in said
    assert "\nThe model is about as sure of them as of the old ones: confidence " in said
    assert "Training again is not worth it: nothing that matters tells the new images from the old ones" in said
    [run] = place.runs("new-files")
    assert run.info.status == "FINISHED"
    assert run.data.tags["labelling"] == place.run
    assert run.data.tags["train_again"] == "no"
    assert run.data.metrics["new_files/new"] == 24
    assert run.data.metrics["new_files/assigned"] == len(assigned)
    assert undocumented([run]) == set()

    after = place.out.read_bytes()
    assert place.again() == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No image is new since run {place.run}")
    assert said.endswith("no label came that the model does not know.\nWritten: nothing\n")
    assert place.out.read_bytes() == after


def test_corrections_stay_and_changed_renamed_and_removed_files_are_counted(place: Place) -> None:
    files = sorted(place.truth)
    by_kmpl = [file for file in files if place.rows()[file]["source"] == "assigned"]
    corrected, changed, renamed, gone = by_kmpl[:4]
    given = next(file for file in files if place.rows()[file]["source"] == "given")
    text = place.out.read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if line.startswith(corrected)]
    place.out.write_text(text.replace(line, line.replace(f"{corrected},", f"{corrected},my own ", 1)), encoding="utf-8")
    lines = place.out.read_text(encoding="utf-8").splitlines()
    mine = [f"{line}looked at twice" if line.startswith(given) else line for line in lines]
    place.out.write_text("\n".join(mine) + "\n", encoding="utf-8")
    other = write_photographs(place.root / "elsewhere", per_class=2, seed=11)
    fresh = sorted(other)
    shutil.copy(place.root / "elsewhere" / fresh[0], place.folder / changed)
    shutil.copy(place.root / "elsewhere" / fresh[1], place.folder / given)
    shutil.copy(place.root / "elsewhere" / fresh[2], place.folder / "new.jpg")
    (place.folder / renamed).rename(place.folder / "renamed.jpg")
    (place.folder / gone).unlink()
    before = place.rows()
    assert place.again() == 0
    said = place.said()
    assert said["new"] == ["new.jpg"]
    assert said["changed"] == sorted([changed, given])
    assert said["renamed_or_copied"] == {"renamed.jpg": renamed}
    assert said["gone"] == [gone]
    rows = place.rows()
    assert rows[corrected] == before[corrected]
    assert rows[corrected]["label"].startswith("my own ")
    assert rows[given]["note"] == "looked at twice"
    assert rows[given] == before[given]  # a person's label stays, whatever the file shows now
    assert rows[gone] == before[gone]
    assert {**rows["renamed.jpg"], "file": renamed} == before[renamed]
    assert len(rows) == len(before) + 2
    assert [line.split(",")[0] for line in place.out.read_text(encoding="utf-8").splitlines()].count(changed) == 1
    assert place.again() == 0
    assert place.rows() == rows


def test_given_labels_of_new_files_stay_and_test_the_model(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_photographs(place.folder, per_class=2, seed=21)
    known, wrong, unknown, *_ = sorted(truth)
    more = {known: truth[known], wrong: next(name for name in CLASSES if name != truth[wrong]), unknown: "zebra"}
    with place.labels.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(more.items())
    assert place.again() == 0
    rows = place.rows()
    assert {file: rows[file]["label"] for file in more} == more
    assert {rows[file]["source"] for file in more} == {"given"}
    assert place.said()["given_labels_checked"] == 3
    assert place.said()["given_labels_named_right"] == 1
    assert unseen(place.runs("new-files"), "new-files") == []
    said = capsys.readouterr().out
    assert "Before it knows them, the model names 1 of 3 given labels of these new images right (so 6% to 79%" in said
    assert "\n3 given labels of new images came since the model learnt. They stand in the table and change no " in said
    assert "Training again is worth it: 1 given label of classes that the model does not know: zebra." in said
    again = f"label {place.folder} --labels {place.out} --trust given --out {place.root / 'out_2.csv'}"
    assert f"Next: kmpl {again} --backbone=efficientnet-lite0 --threads=1 --mlruns" in said.replace(kmpl(), "kmpl")


def test_images_of_another_kind_are_said_to_be_unlike(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for number, image in enumerate(load_digits().images[:30]):
        Image.fromarray((image * 15).astype(np.uint8)).resize((160, 160)).save(place.folder / f"digit {number:02}.png")
    assert place.again() == 0
    assert place.said()["train_again"] == "label first"
    drift = place.said()["drift"]
    assert isinstance(drift, dict)
    assert drift["far_low"] > 0.8
    assert drift["distance_p"] < 0.001
    said = capsys.readouterr().out
    assert "\nThe new images look unlike the old ones: 30 of 30 are far from all clusters" in said
    assert (
        "Label some of the new images first, then training again is worth it: images that came since are unlike" in said
    )
    assert f"suggest {place.folder} --labels {place.out} --trust given --budget 20" in said

    label_in_table(place, [f"digit {number:02}.png" for number in range(4)])
    assert place.again() == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No image is new since run {place.run}")
    assert "4 given labels of new images came since the model learnt. They stand in the table" in said
    assert "only 4 given labels of new images came, and it takes 5." in said
    label_in_table(place, ["digit 04.png"])
    assert place.again() == 0
    said = capsys.readouterr().out
    assert "Training again is worth it: images that came since are unlike the old ones" in said
    words = shlex.split(said.split("\nNext: ")[1])[1:]
    assert main(words) == 0, "what it says is typed"
    rows = place.rows(place.root / "out_2.csv")
    assert {rows[f"digit {number:02}.png"]["source"] for number in range(5)} == {"given"}
    assert place.again("--out", str(place.out)) == 0
    assert "came since" not in capsys.readouterr().out.split("Written: ")[-1]


def kmpl() -> str:
    return next_command().split(" --mlruns")[0]


def label_in_table(place: Place, files: list[str]) -> None:
    """Write other labels into the table by hand than stand there."""
    rows = place.rows()
    text = place.out.read_text(encoding="utf-8")
    for file in files:
        [line] = [line for line in text.splitlines() if line.startswith(f"{file},")]
        label = rows[file]["label"]
        other = next(name for name in CLASSES if name != label)
        text = text.replace(line, line.replace(f"{file},{label},", f"{file},{other},", 1))
    place.out.write_text(text, encoding="utf-8")


def test_labels_given_later_go_to_the_table_and_are_said_to_change_nothing_else(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_photographs(place.folder, per_class=1, seed=71)
    assert place.again() == 0
    before = place.rows()
    new = sorted(truth)[0]
    old = [file for file in sorted(place.truth) if before[file]["source"] == "assigned"][:3]
    with place.labels.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([(name, CLASSES[1]) for name in (new, *old)])
    capsys.readouterr()
    assert place.again() == 0
    said = capsys.readouterr().out
    assert said.startswith(f"No image is new since run {place.run}")
    assert (
        "4 given labels (1 of new images, 3 of old ones) came since the model learnt. They stand in the table" in said
    )
    assert "Training again is not worth it: 4 given labels (1 of new images, 3 of old ones) came since" in said
    assert f"Written: {place.out} (4 rows)" in said
    learn = said.split("Next, to learn from the later labels all the same: ")[1]
    assert f"label {place.folder} --labels {place.out} --trust given" in learn
    rows = place.rows()
    changed = {name: (row["label"], row["source"]) for name, row in rows.items() if row != before[name]}
    assert changed == dict.fromkeys((new, *old), (CLASSES[1], "given"))
    assert rows[new]["cluster"] == before[new]["cluster"]
    assert place.said()["later_labels_of_old_images"] == 3
    assert undocumented(place.runs("new-files")) == set()
    assert place.again() == 0
    assert capsys.readouterr().out.count("Written: nothing") == 1


def test_names_of_clusters_stay_names_of_clusters_and_test_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_photographs(place.folder, per_class=1, seed=81)
    mine, cluster = sorted(truth)[:2]
    given = "".join(f"{file},{label},given\n" for file, label in {mine: truth[mine]}.items())
    text = place.labels.read_text(encoding="utf-8").replace("file,label\n", "file,label,source\n")
    lines = [line if line.count(",") == 2 else f"{line},given" for line in text.splitlines()]
    place.labels.write_text("\n".join(lines) + f"\n{given}{cluster},{truth[cluster]},cluster\n", encoding="utf-8")
    assert place.again() == 0
    assert place.rows()[cluster]["source"] == "cluster"
    assert place.rows()[cluster]["confidence"] == ""
    assert place.said()["given_labels_checked"] == 1
    assert "1 given label of new images came since" in capsys.readouterr().out


def test_a_folder_that_was_moved_is_known_by_its_images(
    place: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    project = tmp_path / "elsewhere"
    shutil.copytree(place.root, project, ignore=shutil.ignore_patterns("mlruns"))
    there = project / "renamed"
    (project / "pictures").rename(there)
    truth = write_photographs(there, per_class=1, seed=91)
    begin = ["label", str(there), "--new-files", "--threads=1", "--mlruns", str(place.root / "mlruns")]
    assert main(begin) == 0
    said = capsys.readouterr()
    line = f"kmpl: {there}: is the folder that run {place.run} labelled as {place.folder}: it holds 60 of its 60 images"
    assert said.err.splitlines() == [line]
    assert f"Written: {project / 'out.csv'} (6 rows)" in said.out, "the table that lies to the folder as it lay then"
    assert set(place.rows(project / "out.csv")) == {*place.truth, *truth}
    assert place.out.read_bytes() == place.before[place.out]


def test_a_copy_of_the_folder_and_another_folder_in_its_place_are_refused(
    place: Place, refused: Refused, tmp_path: Path
) -> None:
    mlruns = ["--mlruns", str(place.root / "mlruns"), "--threads=1"]
    shutil.copytree(place.folder, tmp_path / "copy")
    line = refused("label", str(tmp_path / "copy"), "--new-files", *mlruns)
    assert f"holds the images that run {place.run} labelled in {place.folder}, which is still there" in line
    third = tmp_path / "third"  # whose labelling knows neither
    write_labels(tmp_path / "third.csv", write_photographs(third, per_class=2, seed=97), per_class=1)
    words = ["label", str(third), "--labels", str(tmp_path / "third.csv"), "--out", str(tmp_path / "third_out.csv")]
    assert main([*words, "--backbone=efficientnet-lite0", "--check=off", *mlruns]) == 0
    aside = place.folder.rename(place.root / "aside")
    try:
        write_photographs(place.folder, per_class=1, seed=95)
        line = refused("label", str(place.folder), "--new-files", *mlruns)
        assert f"is another folder than the one that run {place.run} labelled there: none of its 60 images" in line
        assert place.again("--out", str(tmp_path / "others.csv")) == 0
        assert len(place.rows(tmp_path / "others.csv")) == 6
        assert place.out.read_bytes() == place.before[place.out]
    finally:
        shutil.rmtree(place.folder)
        aside.rename(place.folder)


def test_of_two_at_once_the_second_says_who_holds_the_table(place: Place, refused: Refused) -> None:
    write_photographs(place.folder, per_class=1, seed=99)
    mlruns = ["--mlruns", str(place.root / "mlruns")]
    with table_lock(place.out, place.root / "mlruns", "kmpl label pictures --new-files"):
        line = refused("label", str(place.folder), "--new-files", *mlruns)
        assert f"{place.out}: `kmpl label pictures --new-files` (process {os.getpid()}, since " in line
        assert line.rstrip().endswith("writes it now; wait until that is done, or name another file with --out")
        words = ["label", str(place.folder), "--labels", str(place.labels), "--out", str(place.out), "--overwrite"]
        assert "writes it now" in refused(*words, *mlruns)
        assert place.out.read_bytes() == place.before[place.out]
        assert place.again("--out", str(place.root / "another.csv")) == 0
    assert place.again() == 0


def test_a_new_table_of_any_format_gets_the_labels_of_the_run_and_the_new_ones(place: Place, tmp_path: Path) -> None:
    first = write_photographs(place.folder, per_class=1, seed=31)
    assert place.again() == 0
    second = write_photographs(place.folder, per_class=1, seed=32)
    place.out.unlink()
    out = tmp_path / "all.csv"
    assert place.again("--out", str(out)) == 0
    assert set(place.rows(out)) == {*place.truth, *first, *second}
    assert {file: place.rows(out)[file]["source"] for file in place.truth} == {
        row["file"]: row["source"] for row in csv.DictReader(place.before[place.out].decode().splitlines())
    }
    out.unlink()
    assert place.again("--out", str(out)) == 0, "nothing is new, and the table is gone: it is written again"
    assert set(place.rows(out)) == {*place.truth, *first, *second}
    write_photographs(place.folder, per_class=1, seed=33)
    folder = tmp_path / "by class"
    assert place.again("--out", str(folder), "--out-format", "imagefolder") == 0
    assert {path.name for path in folder.iterdir()} <= set(CLASSES)


def test_rows_go_to_the_table_of_another_format(place: Place) -> None:
    out = place.folder / "metadata.jsonl"
    truth = write_photographs(place.folder, per_class=1, seed=41)
    assert place.again("--out", str(out)) == 0
    whole = out.read_bytes()
    later = write_photographs(place.folder, per_class=1, seed=42)
    assert place.again("--out", str(out)) == 0
    assert out.read_bytes().startswith(whole)
    files = [json.loads(line)[FILE] for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(files) == sorted({*place.truth, *truth, *later})


def test_a_file_that_cannot_be_read_is_left_out(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    assert place.again() == 0
    written = capsys.readouterr()
    assert "1 file cannot be read and is left out: broken.jpg" in written.err
    assert written.out.startswith(f"No image is new since run {place.run}")
    assert place.out.read_bytes() == place.before[place.out]
    truth = write_photographs(place.folder, per_class=1, seed=61)
    assert place.again() == 0
    assert place.said()["new"] == sorted(truth)


def test_what_cannot_be_is_refused_in_one_line(place: Place, refused: Refused, tmp_path: Path) -> None:
    write_photographs(place.folder, per_class=1, seed=51)
    begin = ["label", str(place.folder), "--new-files", "--mlruns", str(place.root / "mlruns")]
    decides = "the model that is there decides for new files; leave it out, or label the whole folder anew"
    assert decides in refused(*begin, "--backbone=none")
    assert f"--expect-accuracy: {decides}" in refused(*begin, "--expect-accuracy=0.9")
    assert "--pseudo-labels.strategy: the model" in refused(*begin, "--pseudo-labels.strategy=cluster-vote")
    assert "--gallery: shows a whole labelling" in refused(*begin, "--gallery=page.html")
    assert "there are no runs in" in refused(
        "label", str(place.folder), "--new-files", "--mlruns", str(tmp_path / "no")
    )
    write_photographs(tmp_path / "other", per_class=1)
    other = ["label", str(tmp_path / "other"), "--new-files", "--mlruns", str(place.root / "mlruns")]
    assert "no finished `kmpl label` of it is among the runs" in refused(*other)
    (tmp_path / "other.csv").write_text("file,label,source\nelsewhere.png,cat,given\n", encoding="utf-8")
    assert f"{place.folder} has no image elsewhere.png" in refused(*begin, "--out", str(tmp_path / "other.csv"))
    (tmp_path / "empty.csv").write_text("file,label,source\n", encoding="utf-8")
    assert f"names no image of {place.folder}" in refused(*begin, "--out", str(tmp_path / "empty.csv"))
    assert "is a folder, and no row can be added" in refused(
        *begin, "--out", str(tmp_path / "other"), "--out-format=csv"
    )
    place.out.write_text("file,label\n" + "".join(f"{file},cat\n" for file in place.truth), encoding="utf-8")
    assert "has no column source" in refused(*begin)
    place.out.unlink()
    assert f"{place.out}: the labels that run {place.run} wrote are gone" in refused(*begin)
    assert not (place.root / "out.new-files.json").exists()
    assert all(run.info.status != "FINISHED" for run in place.runs("new-files"))


def test_a_run_that_is_deleted_or_whose_model_is_gone_is_said_to_be(place: Place, refused: Refused) -> None:
    begin = ["label", str(place.folder), "--new-files", "--mlruns", str(place.root / "mlruns")]
    client = MlflowClient(f"sqlite:///{place.root}/mlruns/mlflow.db")
    client.delete_run(place.run)
    assert " was deleted in MLflow, and can be restored there)" in refused(*begin)
    client.restore_run(place.run)
    artifacts = place.root / "mlruns" / "artifacts" / place.run / "artifacts"
    write_photographs(place.folder, per_class=1, seed=55)
    for name, text in (("network.safetensors", "network.safetensors"), ("reference.safetensors", "holds no reference")):
        (artifacts / name).rename(artifacts / "aside")
        assert text in refused(*begin)
        (artifacts / "aside").rename(artifacts / name)
    assert place.again() == 0


def test_a_labelling_by_features_of_a_file_leaves_no_model_and_says_what_leaves_one(
    tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "digits"
    data = load_digits()
    for i in range(40):
        of_class = folder / (str(data.target[i] % 2) if i < 12 else ".")
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray((data.images[i] * 15).astype(np.uint8)).save(of_class / f"{i:02}.png")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    np.save(tmp_path / "features.npy", np.stack([data.data[int(Path(name).stem)] for name in names]))
    (tmp_path / "features.txt").write_text("\n".join(names), encoding="utf-8")
    place = ["--mlruns", str(tmp_path / "mlruns")]
    features = f"--backbone=features:{tmp_path / 'features.npy'}"
    assert main(["label", str(folder), "--out", str(tmp_path / "out.csv"), features, "--threads=1", *place]) == 0
    why = f"features:{tmp_path / 'features.npy'} holds features of these images alone; --backbone with one of "
    last = capsys.readouterr().out.replace("\n", " ").strip()
    assert f"No model is left for kmpl predict and --new-files: {why}efficientnet-lite0" in last
    line = refused("label", str(folder), "--new-files", *place)
    assert f"left no model: {why}" in line
    assert "; label anew: " in line
    (run,) = search(tracking.open_store(tmp_path / "mlruns"), kind="labelling")
    assert f"run {run.info.run_id} has no model: {why}" in refused(
        "predict", str(folder), "--model", run.info.run_id, *place
    )
    assert "left a model, too" not in refused("predict", str(folder), *place)


def test_files_are_told_by_their_content(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    seen, _ = digests_of(tmp_path, ["a", "b", "c"])
    assert seen["a"] == sha256(tmp_path / "a")
    shutil.copy(tmp_path / "a", tmp_path / "copy")
    (tmp_path / "b").write_text("c", encoding="utf-8")  # what c held, so nothing new
    (tmp_path / "c").unlink()
    now, missing = digests_of(tmp_path, ["a", "b", "c", "copy"])
    assert list(missing) == ["c"]
    assert compare(seen, now) == FolderChanges(new=(), changed=(), moved={"b": "c", "copy": "a"}, gone=())
