"""``kmpl suggest`` as a person meets it: a folder in, a CSV to fill in and a sheet out."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from deep_files import write_png
from photographs import CLASSES, write_labels, write_photographs
from PIL import Image
from terminal import one_line

from kmpl.cli import main
from kmpl.datasets import mnist
from kmpl.datasets.image_folder import read_folder
from kmpl.formats import kmpl_csv
from kmpl.formats.registry import FORMATS
from kmpl.formats.writing import name_for
from kmpl.jobs import folder_images, suggest_folder
from kmpl.labelling import job as labelling
from kmpl.labelling.label_table import to_csv
from kmpl.method import pretext, steps
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store

MANY = 60
QUICK = ("--threads", "1", "--pretext.rounds", "0")  # the pixels' components: nothing is trained
TINY = (
    *("--pretrain.epochs", "1", "--pretrain.images-per-epoch", "128", "--pseudo-labels.rounds", "1"),
    *("--retrain.epochs", "1", "--retrain.images-per-epoch", "128"),
)
BRIEF = {"epochs": 1, "images_per_epoch": 128}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty digits without a label, and a copy of the first."""
    root = tmp_path_factory.mktemp("own") / "some digits"
    root.mkdir()
    for number, image in enumerate(mnist.read(train=True).images[:MANY, 0].numpy()):
        Image.fromarray(image).save(root / f"digit {number:02}.png")
    shutil.copy(root / "digit 00.png", root / "copy.png")
    return root


@pytest.fixture
def folder(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(written, tmp_path / "digits"))


def suggest(folder: Path, *more: str, budget: int = 20) -> list[dict[str, str]]:
    arguments = [str(folder), "--budget", str(budget), "--out", "next.csv", *QUICK, *more]
    assert main(["suggest", *arguments]) == 0
    return rows(Path("next.csv"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def labels(numbers: range) -> Path:
    true = mnist.read(train=True).labels
    path = Path("labels.csv")
    path.write_text("file,label\n" + "".join(f"digit {n:02}.png,{true[n]}\n" for n in numbers))
    return path


@pytest.mark.filterwarnings("always::kmpl.errors.LeftOutWarning")
def test_a_folder_without_a_label_gives_different_images_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "no image.png").write_text("not at all")
    found = suggest(folder, "--sheet", "next.png", budget=3)
    assert [row["rank"] for row in found] == ["1", "2", "3"]
    assert len({row["file"] for row in found}) == len({row["cluster"] for row in found}) == 3
    assert {(row["label"], row["reason"], row["confidence"]) for row in found} == {("", "no label in its cluster", "")}
    assert all((folder / row["file"]).is_file() for row in found)
    said = capsys.readouterr()
    assert "3 of 61 images to label next: 3 × no label in its cluster." in said.out
    assert "no image.png (is no PNG" in one_line(said.err)
    assert matplotlib.image.imread("next.png").shape[2] == 4


def test_the_same_seed_suggests_the_same_and_another_seed_others(folder: Path) -> None:
    one, same, other = (suggest(folder, "--overwrite", "--seed", seed, budget=3) for seed in "001")
    assert one == same
    assert one != other


def test_the_csv_filled_in_is_a_csv_of_labels(folder: Path) -> None:
    first = suggest(folder, budget=3)
    Path("filled.csv").write_text(Path("next.csv").read_text().replace(".png,,", ".png,a digit,"))
    second = suggest(folder, "--labels", "filled.csv", "--overwrite", budget=3)
    assert not {row["file"] for row in first} & {row["file"] for row in second}


def test_each_format_that_can_hold_them_has_order_and_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = suggest(folder, budget=3)
    want = [(row["file"], int(row["rank"]), int(row["cluster"]), row["reason"]) for row in known]
    for out in (Path("next.json"), Path("next.parquet"), folder / "metadata.jsonl", folder / "metadata.csv"):
        capsys.readouterr()
        assert main(["suggest", str(folder), "--budget", "3", "--out", str(out), *QUICK]) == 0
        read = FORMATS[name_for(out)].read
        assert read is not None
        entries = kmpl_csv.read(out) if out.suffix == ".csv" else read(out)
        records = [entry.record for entry in entries]
        assert [(r.file, r.rank, r.cluster, r.note) for r in records] == want, out
        assert {r.label for r in records} == {""}
    first = json.loads(Path("next.json").read_text(encoding="utf-8"))[0]["data"]
    assert (first["rank"], first["note"]) == (1, "no label in its cluster")
    out = Path("in label studio.json")
    assert main(["suggest", str(folder), "--budget", "3", "--out", str(out), *QUICK]) == 0
    assert "Next: import in label studio.json into Label Studio, annotate it there, export" in capsys.readouterr().out


def test_copies_are_never_suggested_twice_nor_beside_their_label(folder: Path) -> None:
    copies = {"copy.png", "digit 00.png"}
    assert len({row["file"] for row in suggest(folder, budget=60)} & copies) <= 1
    given = labels(range(1))
    assert not {row["file"] for row in suggest(folder, "--labels", str(given), "--overwrite", budget=50)} & copies


def test_the_least_certain_have_the_confidence_that_label_gives_and_train_nothing_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = labels(range(40))
    found = read_folder(folder, given)
    settings = {"threads": 1, "pretrain": BRIEF, "retrain": BRIEF, "pseudo_labels": {"rounds": 1}, "check": "off"}
    method = cached(Steps(evaluate=no_test_set("a folder has none")), Store(Path("mlruns/cache")))
    labelled = labelling.run(labelling.prepare(found, settings), method)[1]
    sure = {row["file"]: row["confidence"] for row in csv.DictReader(to_csv(labelled).splitlines())}
    monkeypatch.setattr(steps, "_train", None)  # all of it is in the store
    chosen = suggest(folder, "--labels", str(given), *TINY, budget=4)
    unsure = [row for row in chosen if row["reason"] == "least certain"]
    assert unsure
    assert [row["confidence"] for row in unsure] == sorted(row["confidence"] for row in unsure)
    assert all(row["confidence"] == sure[row["file"]] for row in chosen)
    assert not {row["file"] for row in chosen} & {f"digit {n:02}.png" for n in range(40)}


def test_a_name_of_dollars_is_a_name(folder: Path) -> None:
    for number in range(MANY):
        (folder / f"digit {number:02}.png").rename(folder / f"${number}_$.png")
    assert len(suggest(folder, "--sheet", "sheet.png", budget=5)) == 5
    assert Path("sheet.png").stat().st_size > 1_000


def test_one_class_only_is_no_hindrance(folder: Path) -> None:
    (folder / "cat").mkdir()
    for number in range(20):
        shutil.move(folder / f"digit {number:02}.png", folder / "cat")
    found = suggest(folder, budget=10)
    assert len(found) == 10
    assert not [row for row in found if row["file"].startswith("cat/")]


def test_less_is_given_and_said_where_all_others_are_alike(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(MANY):
        shutil.copy(folder / "copy.png", folder / f"digit {number:02}.png")
    assert len(suggest(folder, budget=5)) == 1
    assert "5 were asked for, but all others are near-duplicates" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--budget", "0"], "budget 0: give at least 1"),
        (["--budget", "62"], "--budget 62: 61 images have no label; give 1 to 61"),
        (["--budget", "5", "--pretext.n-clusters", "1"], "--pretext.n-clusters: Input should be greater than"),
        (["--budget", "5", "--size", "4"], "size: Input should be greater than or equal to 8"),
        (["--budget", "5", "--sheet", "nowhere/sheet.png"], "--sheet nowhere/sheet.png: there is no folder"),
        (["--budget", "5", "--sheet", "sheet.jpg"], "--sheet sheet.jpg: is a PNG; name it sheet.png"),
        (["--budget", "twenty"], "budget: give a whole number, got 'twenty'"),
        (["--budget", "5", "--out", "labels.json"], "--out labels.json: fiftyone has no place for order and reason"),
        (["--budget", "5", "--out-format", "lightly"], "--out next.csv: lightly knows no image without a label"),
        (["--budget", "5", "--out-format", "imagefolder"], "imagefolder is a folder, in which no label can be filled"),
        (["--budget", "5", "--out", "next.xlsx"], "--out next.xlsx: its suffix is no format's; end it with .csv"),
        (["--budget", "5", "--labels", "."], "--labels .: is a folder; name a CSV"),
        (["--budget", "5", "--labels", "none.csv"], "--labels none.csv: there is no such file"),
    ],
)
def test_bad_input_gets_one_line(folder: Path, refused: Callable[..., str], more: list[str], said: str) -> None:
    out = [] if "--out" in more else ["--out", "next.csv"]
    assert said in refused("suggest", str(folder), *out, *QUICK, *more)
    assert not Path("next.csv").exists()


def test_existing_files_are_kept_without_overwrite(folder: Path, refused: Callable[..., str]) -> None:
    for name, flag in (("next.csv", "--out"), ("next.png", "--sheet")):
        Path(name).write_text("mine")
        arguments = ("--out", "next.csv", "--sheet", "next.png", "--budget", "3", *QUICK)
        assert f"{flag} {name}: exists; give --overwrite" in refused("suggest", str(folder), *arguments)
        assert Path(name).read_text() == "mine"
        Path(name).unlink()


def test_all_labelled_is_said(folder: Path, refused: Callable[..., str]) -> None:
    (folder / "copy.png").unlink()
    given = ("--labels", str(labels(range(MANY))))
    line = refused("suggest", str(folder), "--out", "next.csv", "--budget", "1", *given, *QUICK)
    assert "all 60 images are labelled: there is nothing to suggest" in line


def test_the_sheet_shows_deep_pictures_as_they_were_read(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.array([[0, 1023], [1023, 0]], dtype=np.uint16))
    assert suggest_folder._read(read_folder(tmp_path), 0).max() == 255


def test_photographs_are_chosen_by_features_of_the_backbone_and_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    truth = write_photographs(tmp_path / "pictures", per_class=30)
    monkeypatch.setattr(steps, "_train", None)
    monkeypatch.setattr(pretext, "features", None)
    arguments = ["pictures", "--budget", "9", "--out", "next.csv", "--threads", "1"]
    assert main(["suggest", *arguments]) == 0
    assert len({truth[row["file"]] for row in rows(Path("next.csv"))}) == len(CLASSES)
    write_labels(Path("given.csv"), truth, per_class=2)
    assert main(["suggest", *arguments, "--labels", "given.csv", "--overwrite"]) == 0
    assert len(rows(Path("next.csv"))) == 9


def test_grey_pictures_are_not_embedded_unless_that_is_asked_for(folder: Path) -> None:
    images = read_folder(folder)
    assert folder_images.settings_for(images, {"seed": 1}) == {"seed": 1, "backbone": "none"}
    assert folder_images.settings_for(images, {"backbone": "timm:x"}) == {"backbone": "timm:x"}
    colour = replace(images, images=images.images.repeat(1, 3, 1, 1))
    assert folder_images.settings_for(colour, {"seed": 1}) == {"seed": 1}
