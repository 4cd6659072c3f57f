"""``folder:PATH`` as a data set: a test part that stays, copies on one side, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_files import write_png
from PIL import Image

from kmpl.config.presets import load
from kmpl.datasets import folder_dataset, registry
from kmpl.datasets.image_folder import read_folder
from kmpl.datasets.pool import build_pool
from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning, UserError
from kmpl.images.conversion import Conversion
from kmpl.method.evaluation import evaluate
from kmpl.method.experiment import run
from kmpl.method.step_interface import Steps

DIGITS = 40


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty real images of each of three digits in sub-folders, and ten that have no label."""
    made = tmp_path_factory.mktemp("own")
    data = registry.read("MNIST", train=True)
    for digit in range(3):
        for place in np.flatnonzero(data.labels.numpy() == digit)[:DIGITS]:
            write(made / str(digit) / f"{place}.png", data.images[place, 0].numpy())
    for place in range(10):
        write(made / f"{place}.png", data.images[place, 0].numpy())
    return made


def test_a_fifth_of_each_class_is_the_test_and_the_rest_is_for_training(root: Path) -> None:
    train, test = (registry.read(f"folder:{root}", part) for part in (True, False))
    assert train.classes == test.classes == ("0", "1", "2")
    assert np.bincount(train.labels).tolist() == [32, 32, 32]
    assert np.bincount(test.labels).tolist() == [8, 8, 8]
    assert train.images.shape == (96, 1, 32, 32)
    assert registry.read(f"folder:{root}", True, size=28).images.shape == (96, 1, 28, 28)
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(torch.unique(both, dim=0)) == 3 * DIGITS, "no image is in both parts"


def test_the_parts_depend_on_what_the_images_are_not_on_what_they_are_called(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for digit in range(3):
        for number, path in enumerate(sorted((root / str(digit)).iterdir(), reverse=True)):
            (copy / str(digit)).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / str(digit) / f"renamed {number}.png")
    for part in (True, False):
        one, other = (registry.read(f"folder:{folder}", part).images.flatten(1) for folder in (root, copy))
        assert torch.equal(torch.unique(one, dim=0), torch.unique(other, dim=0))


def test_copies_are_on_one_side_even_under_two_labels(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    for path in sorted((copy / "0").iterdir()):
        shutil.copy(path, copy / "1" / f"copy of {path.name}")
    found = read_folder(copy)
    tested = folder_dataset.is_test(found)
    sides = {digest: set(tested[np.array(found.digests) == digest].tolist()) for digest in found.digests}
    assert all(len(side) == 1 for side in sides.values())
    assert 0 < tested.sum() < len(tested) / 2


def test_a_folder_that_cannot_be_a_data_set_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        registry.read(f"folder:{tmp_path}/none", train=True)
    image = next((root / "0").iterdir())
    for name in ("cat/a.png", "cat/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(image, tmp_path / name)
    with pytest.raises(UserError, match=r"needs at least 2 classes, it has 1 \(cat\)"):
        registry.read(f"folder:{tmp_path}", train=True)
    (tmp_path / "dog").mkdir()
    shutil.copy(next((root / "1").iterdir()), tmp_path / "dog" / "a.png")
    with pytest.raises(UserError, match="class cat has one image"):  # its two are copies of each other
        registry.read(f"folder:{tmp_path}", train=True)


def test_a_file_that_cannot_be_read_is_named_in_a_warning(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / "0" / "text.png").write_text("no image")
    with pytest.warns(LeftOutWarning, match=r"1 files cannot be read and are left out, the first 0/text.png"):
        assert len(registry.read(f"folder:{copy}", train=True).labels) == 96


def test_labels_that_may_be_meant_otherwise_are_named_in_a_warning_and_parts_are_no_classes(
    root: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.move(copy / "2", copy / "nan")
    with pytest.warns(LabelsWarning, match=r"40 images are read as not labelled \(40 × 'nan'\)"):
        assert registry.read(f"folder:{copy}", train=True).classes == ("0", "1")
    for part in ("train", "test"):
        shutil.copytree(root / "0", tmp_path / "tree" / part / "0")
    with pytest.raises(UserError, match="test/, train/ are parts of a data set"):
        registry.read(f"folder:{tmp_path / 'tree'}", train=True)


def test_the_experiment_runs_on_a_folder(root: Path) -> None:
    tiny = {"epochs": 2, "images_per_epoch": 200, "batch_size": 32}
    config = load(
        change={
            "dataset": f"folder:{root}",
            "protocol": "literature",
            "labels": 12,
            "threads": 1,
            "pretrain": tiny,
            "retrain": tiny,
            "clustering": {"n_clusters": 10},
            "pseudo_labels": {"rounds": 1},
        }
    )
    report = run(config, Steps(evaluate=evaluate))
    assert report.pool.images.shape[1:] == (1, 32, 32)
    assert len(report.pool.labels) + len(report.pool.validation_labels) == 96
    assert report.arms["pseudo-label"].evaluation.confusion.sum() == 24


def test_the_digest_of_a_folder_depends_on_its_files_contents_and_labels(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    before = registry.content(f"folder:{copy}")
    assert before == registry.content(f"folder:{root}")
    one = next((copy / "0").iterdir())
    one.touch()
    assert registry.content(f"folder:{copy}") == before
    shutil.move(one, copy / "1" / one.name)
    moved = registry.content(f"folder:{copy}")
    write(copy / "1" / one.name, np.zeros((28, 28), dtype=np.uint8))
    assert len({before, moved, registry.content(f"folder:{copy}")}) == 3
    assert registry.content("MNIST") == ""


def test_a_path_longer_than_mlflow_takes_for_a_name_is_refused_before_any_work(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    deep = tmp_path / "/".join(["a" * 100] * 5)
    deep.mkdir(parents=True)
    for command in ("run", "sweep"):
        line = refused(command, "--dataset", f"folder:{deep}")
        assert f"the path of the data set has {len(str(deep))} characters, {str(deep)[:40]}…" in line
        assert line.endswith("give one of at most 480: from a folder nearer to it, or by a link\n")
    assert {path.name for path in tmp_path.iterdir()} == {deep.relative_to(tmp_path).parts[0]}


def test_the_range_of_deep_pictures_goes_with_the_images_and_is_said(root: Path, tmp_path: Path) -> None:
    for digit in range(2):
        for path in sorted((root / str(digit)).iterdir())[:5]:
            (tmp_path / str(digit)).mkdir(exist_ok=True)
            write_png(tmp_path / str(digit) / path.name, np.asarray(Image.open(path)).astype(np.uint16) * 4)
    with pytest.warns(ReadingWarning, match=r"16-bit pictures \(10\) use 10 bits: 0 is read as black, 1,023 as white"):
        train = registry.read(f"folder:{tmp_path}", True, 28)
    assert registry.content(f"folder:{tmp_path}")  # read anew, at another size: nothing more is said
    assert train.conversion == Conversion({"16-bit": (0, 1023)})
    assert train.images.max() > 240
    settings = {"dataset": f"folder:{tmp_path}", "protocol": "literature", "labels": 4, "pool": {"image_size": 28}}
    assert build_pool(load(change=settings))[0].conversion == train.conversion
