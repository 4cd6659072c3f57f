"""Features of a folder of photographs: computed once for each file's content, and the same however they came."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import write_photographs
from PIL import Image

import kmpl
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import FolderImages, read_folder
from kmpl.errors import UserError
from kmpl.images.conversion import Conversion
from kmpl.jobs import embed_folder
from kmpl.models.backbones import embedding
from kmpl.models.backbones.backbone import Backbone
from kmpl.store.store import Store

OPTIONS = LabelOptions(backbone="efficientnet-lite0", threads=1, precision="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "pictures", per_class=2)
    return tmp_path / "pictures"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each batch that went through the backbone."""
    batches: list[int] = []
    embed_batch = embedding.embed_batch

    def counted(backbone: Backbone, images: torch.Tensor, device: str, precision: str) -> np.ndarray:
        batches.append(len(images))
        return embed_batch(backbone, images, device, precision)

    monkeypatch.setattr(embedding, "embed_batch", counted)
    return batches


def values(images: FolderImages) -> np.ndarray:
    assert images.frozen is not None
    return images.frozen.values


def test_a_folder_that_grows_costs_only_what_is_new(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    store = Store(tmp_path / "cache")
    first = values(embed_folder.embed(read_folder(folder), OPTIONS, store))
    assert sum(computed) == 12
    assert np.linalg.norm(first, axis=1) == pytest.approx(np.ones(12), abs=1e-5)
    write_photographs(folder, per_class=1, seed=9)
    names = sorted(folder.iterdir())
    (folder / "a copy.jpg").write_bytes(names[0].read_bytes())
    names[1].rename(folder / "another name.jpg")
    grown = read_folder(folder)
    progress: list[tuple[int, int]] = []
    both = values(embed_folder.embed(grown, OPTIONS, store, lambda done, total: progress.append((done, total))))
    assert sum(computed) == 12 + 6
    assert progress[0] == (13, 19)
    assert progress[-1] == (19, 19)
    fresh = values(embed_folder.embed(grown, OPTIONS, Store(tmp_path / "another")))
    np.testing.assert_allclose(both, fresh, atol=1e-5)
    copies = [grown.files.index(name) for name in ("a copy.jpg", names[0].name)]
    np.testing.assert_array_equal(both[copies[0]], both[copies[1]])


def test_after_a_kill_what_was_kept_is_not_computed_again(
    folder: Path, tmp_path: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_folder, "_KEPT_TOGETHER", 5)
    store = Store(tmp_path / "cache")

    def kill(done: int, total: int) -> None:  # noqa: ARG001
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_folder.embed(read_folder(folder), OPTIONS, store, kill)
    again = values(embed_folder.embed(read_folder(folder), OPTIONS, store))
    assert computed == [5, 5, 5, 2]  # the second five were not kept yet
    np.testing.assert_allclose(
        again, values(embed_folder.embed(read_folder(folder), OPTIONS, Store(tmp_path / "another"))), atol=1e-5
    )


def test_other_weights_and_another_reading_find_nothing(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    store = Store(tmp_path / "cache")
    images = read_folder(folder)
    embed_folder.embed(images, OPTIONS, store)
    embed_folder.embed(replace(images, conversion=Conversion({"16-bit": (0.0, 1023.0)})), OPTIONS, store)
    assert sum(computed) == 24


def test_a_file_that_went_away_is_named(folder: Path, tmp_path: Path) -> None:
    images = read_folder(folder)
    (folder / images.files[3]).unlink()
    with pytest.raises(UserError) as error:
        embed_folder.embed(images, OPTIONS, Store(tmp_path / "cache"))
    assert f"{images.files[3]} cannot be read: does not exist" in str(error.value)


def test_features_from_a_file_need_no_backbone(folder: Path, tmp_path: Path, computed: list[int]) -> None:
    images = read_folder(folder)
    mine = np.random.default_rng(0).normal(size=(12, 7)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", names=np.array(images.files), values=mine)
    options = OPTIONS.model_copy(update={"backbone": f"features:{tmp_path / 'mine.npz'}"})
    given = embed_folder.embed(images, options, Store(tmp_path / "cache"))
    assert computed == []
    assert given.frozen is not None
    assert (given.frozen.root, given.frozen.side) == (False, 0)
    np.testing.assert_allclose(values(given), mine / np.linalg.norm(mine, axis=1, keepdims=True), atol=1e-6)


def test_programs_of_others_get_the_features_of_the_command(folder: Path, tmp_path: Path) -> None:
    images = read_folder(folder)
    ours = values(embed_folder.embed(images, OPTIONS, Store(tmp_path / "cache")))
    theirs = kmpl.embed_files([folder / name for name in images.files], precision="float32")
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    with pytest.raises(UserError, match="name at least one image file"):
        kmpl.embed_files([])
    with pytest.raises(UserError, match="cannot be read: does not exist"):
        kmpl.embed_files([folder / "absent.jpg"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [(np.ones((12, 1)), "all images have the same features"), (np.zeros((12, 4)), "all images have the same features")],
)
def test_features_that_tell_nothing_apart_are_refused(
    folder: Path, tmp_path: Path, rows: np.ndarray, words: str
) -> None:
    images = read_folder(folder)
    np.savez(tmp_path / "mine.npz", names=np.array(images.files), values=rows)
    options = OPTIONS.model_copy(update={"backbone": f"features:{tmp_path / 'mine.npz'}"})
    with pytest.raises(UserError, match=words):
        embed_folder.embed(images, options, Store(tmp_path / "cache"))


def test_deep_pictures_are_scaled_for_programs_as_for_the_command(tmp_path: Path) -> None:
    """Ten bits in files of sixteen: by their full range they would be black."""
    folder = tmp_path / "deep"
    write_photographs(tmp_path / "pictures", per_class=1, suffix=".png")
    folder.mkdir()
    for path in sorted((tmp_path / "pictures").iterdir()):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
        Image.fromarray(grey * 4).save(folder / path.name)
    images = read_folder(folder)
    assert images.conversion.ranges
    ours = values(embed_folder.embed(images, OPTIONS, Store(tmp_path / "cache")))
    theirs = kmpl.embed_files([folder / name for name in images.files], precision="float32")
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    with pytest.raises(UserError, match="give a list of files"):
        kmpl.embed_files(str(folder / images.files[0]))
