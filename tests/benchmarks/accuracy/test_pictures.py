"""The benchmark on folders of pictures, on real photographs: the arms, their draws and the table."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from photographs import CLASSES, write_photographs
from terminal import one_line

from kmpl.benchmarks.accuracy import pictures, pictures_page
from kmpl.benchmarks.accuracy.pictures import BASELINE, OURS, WITHOUT_CLUSTERS, Outcome
from kmpl.benchmarks.options import DEFAULT_PICTURE_ARMS, PICTURE_ARMS
from kmpl.cli import main
from kmpl.datasets.image_folder import read_folder
from kmpl.datasets.types import UNLABELLED

PER_CLASS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    truth = write_photographs(root / "flat", per_class=PER_CLASS)
    for file, name in truth.items():
        (root / "windows" / name).mkdir(parents=True, exist_ok=True)
        (root / "flat" / file).rename(root / "windows" / name / file)
    return root / "windows"


@pytest.fixture(scope="module")
def numbers(folder: Path) -> list[Outcome]:
    out = folder.parent / "out"
    command = ["benchmark", "pictures", str(folder), "--per-class=1,2", "--seeds=0,1", "--threads=1"]
    assert main([*command, "--out", str(out), "--mlruns", str(folder.parent / "mlruns")]) == 0
    return [Outcome(**row) for row in json.loads((out / "pictures.json").read_text(encoding="utf-8"))["rows"]]


def test_each_arm_has_each_draw_with_as_many_labels(numbers: list[Outcome]) -> None:
    assert [(o.per_class, o.seed, o.arm) for o in numbers] == [
        (n, seed, arm) for n in (1, 2) for seed in (0, 1) for arm in DEFAULT_PICTURE_ARMS
    ]
    assert all(o.labels == o.per_class * len(CLASSES) for o in numbers)
    for arm in DEFAULT_PICTURE_ARMS:
        assert np.mean([o.accuracy for o in numbers if o.arm == arm]) > 2 / len(CLASSES)
    assert all((o.coverage is not None) == (o.arm in (OURS, WITHOUT_CLUSTERS)) for o in numbers)


def test_the_page_compares_with_logistic_regression_draw_by_draw(folder: Path, numbers: list[Outcome]) -> None:
    page = (folder.parent / "out" / "pictures.md").read_text(encoding="utf-8")
    assert "## windows" in page
    for arm in DEFAULT_PICTURE_ARMS:
        assert f"| {arm} |" in page
    ours = [o for o in numbers if (o.arm, o.per_class) == (OURS, 2)]
    base = [o for o in numbers if (o.arm, o.per_class) == (BASELINE, 2)]
    expected = np.array([a.accuracy - b.accuracy for a, b in zip(ours, base, strict=True)])
    np.testing.assert_allclose(pictures_page.gains_of(ours, numbers), expected)
    assert f"| {100 * expected.mean():+.1f} | {100 * expected.min():+.1f} |" in page
    assert (folder.parent / "out" / "pictures.png").stat().st_size > 10_000


def test_a_small_class_gives_half_of_its_files(folder: Path) -> None:
    images = read_folder(folder)
    for n, each in ((1, 1), (3, 3), (20, PER_CLASS // 2)):
        labels = pictures.drawn(images, n, seed=0)
        given = labels != UNLABELLED
        np.testing.assert_array_equal(np.bincount(labels[given]), [each] * len(CLASSES))
        np.testing.assert_array_equal(labels[given], images.labels[given])
    assert (pictures.drawn(images, 2, 0) != pictures.drawn(images, 2, 1)).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name folders that have a sub-folder of pictures for each class"),
        (["flat"], "a sub-folder for each class is needed"),
        (["windows", "--arms=logistic"], f"arms logistic: there is no such arm; give {', '.join(PICTURE_ARMS)}"),
        (["windows", "--backbone=none"], "backbone none: the arms are compared on features of a backbone"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    write_photographs(tmp_path / "flat", per_class=1)
    roots = {"flat": tmp_path / "flat", "windows": folder}
    command = ["benchmark", "pictures", *(str(roots.get(word, word)) for word in arguments)]
    places = ["--out", str(tmp_path / "out"), "--mlruns", str(tmp_path / "mlruns")]
    assert main([*command, *places]) == 2
    assert words in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_no_label_reaches_is_not_named_rightly(tmp_path: Path) -> None:
    """Two groups far apart, one without a label: of its pictures LabelSpreading says nothing, whatever they are."""
    near = np.random.default_rng(0).normal(size=(24, 3))
    values = np.concatenate([near, near + 100]).astype(np.float32)
    for true in (0, 1):
        truth = np.where(np.arange(48) < 24, np.arange(48) % 2, true)
        images = SimpleNamespace(
            frozen=SimpleNamespace(values=values),
            labels=np.where(np.arange(48) < 4, truth, -1),
            classes=("a", "b"),
            root=tmp_path,
        )
        outcome = pictures._outcome(images, truth, "LabelSpreading", 2, seed=0, overrides={}, steps=None)  # type: ignore[arg-type]
        assert outcome.accuracy <= 20 / 44
