"""A large folder is embedded a shard at a time: as in memory, once, and nothing is lost whatever happens on the way."""

import socket
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_files import write_tiff
from object_store import Bucket
from PIL import Image
from sklearn.datasets import load_digits
from tiny_backbone import DIMENSION, write_backbone

from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import read_folder
from kmpl.errors import DamagedWarning, FileError, UserError
from kmpl.images.conversion import PLAIN
from kmpl.jobs import embed_folder, embed_shards, scheduler, shard_embedding, shard_workers
from kmpl.jobs.embed_shards import EmbeddedFolder
from kmpl.jobs.shard_embedding import KIND, Shard
from kmpl.jobs.workspace import Workspace
from kmpl.models.backbones.backbone import Backbone
from kmpl.store.store import Store
from kmpl.training.watch import ignore

N, SHARDS = 30, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for i, image in enumerate(load_digits().images[:N]):
        Image.fromarray((image * 15).astype("uint8")).save(root / f"{i:02}.png")
    return root


@pytest.fixture
def options(tmp_path: Path) -> LabelOptions:
    return LabelOptions(backbone=write_backbone(tmp_path / "means.onnx"), shards=SHARDS, threads=1)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each batch that went through the backbone."""
    batches: list[int] = []
    embed_batch = shard_embedding.embed_batch

    def counted(backbone: Backbone, images: torch.Tensor, device: str, precision: str) -> np.ndarray:
        batches.append(len(images))
        return embed_batch(backbone, images, device, precision)

    monkeypatch.setattr(shard_embedding, "embed_batch", counted)
    return batches


def embedded(
    folder: Path, options: LabelOptions, place: Path, on_progress: Callable[[int, int], None] = ignore
) -> EmbeddedFolder:
    return embed_shards.embed(folder, options, Workspace(place), on_progress)


def values(found: EmbeddedFolder) -> np.ndarray:
    return np.concatenate(list(found.features))


def test_shards_hold_what_a_folder_in_memory_has(folder: Path, options: LabelOptions, tmp_path: Path) -> None:
    rng = np.random.default_rng(1000)
    write_tiff(folder / "12 deep.tif", rng.integers(0, 4_000, (16, 16)).astype(np.uint16))
    clear = np.dstack([np.full((16, 16), 255, np.uint8)] * 3 + [rng.integers(0, 2, (16, 16)).astype(np.uint8) * 255])
    Image.fromarray(clear).save(folder / "20 clear.png")
    (folder / "15 broken.png").write_bytes((folder / "15.png").read_bytes()[:60])
    (folder / "note.txt").write_text("no picture")
    plain = embed_folder.embed(read_folder(folder), options, Store(tmp_path / "memory"))
    found = embedded(folder, options, tmp_path / "runs")
    assert [len(shard) for shard in found.features] == [9, 8, 9, 6]  # the broken one leaves a gap in its shard alone
    assert (found.files, found.digests) == (plain.files, plain.digests)
    assert (found.conversion, found.notes, found.left_out) == (plain.conversion, plain.reading_notes, plain.left_out)
    assert found.conversion != PLAIN
    assert "15 broken.png" in found.left_out
    assert plain.frozen is not None
    unit = values(found).astype(np.float32)
    assert unit.shape == (N + 2, DIMENSION)
    np.testing.assert_allclose(unit / np.linalg.norm(unit, axis=1)[:, None], plain.frozen.values, atol=1e-3)


def test_a_killed_run_goes_on_where_it_was(
    folder: Path, options: LabelOptions, tmp_path: Path, computed: list[int]
) -> None:
    told: list[int] = []

    def kill(done: int, total: int) -> None:
        told.append(done)
        if done >= total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded(folder, options, tmp_path / "runs", kill)
    assert told == [0, 8, 16]
    found = embedded(folder, options, tmp_path / "runs", lambda done, total: told.append(done))  # noqa: ARG005
    assert told[3:] == [16, 24, 30]
    assert sum(computed) == N
    np.testing.assert_array_equal(values(found), values(embedded(folder, options, tmp_path / "fresh")))
    assert sum(computed) == 2 * N


def test_a_damaged_shard_alone_is_computed_again(
    folder: Path, options: LabelOptions, tmp_path: Path, computed: list[int]
) -> None:
    first = values(embedded(folder, options, tmp_path / "runs"))
    store = Workspace(tmp_path / "runs").store
    path = store.path(KIND, store.keys(KIND)[0])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.warns(DamagedWarning, match="is damaged .*; it is computed again"):
        again = values(embedded(folder, options, tmp_path / "runs"))
    assert sum(computed) in (N + 8, N + 6)
    np.testing.assert_array_equal(first, again)


def test_a_shard_that_is_lost_while_it_is_read_is_one_line(folder: Path, options: LabelOptions, tmp_path: Path) -> None:
    found = embedded(folder, options, tmp_path / "runs")
    Workspace(tmp_path / "runs").store.clear()
    with pytest.raises(UserError, match=r"lost the features of shard 3 of 4 while they were read; run the same"):
        found.features[2]


def test_a_file_that_changes_meanwhile_ends_it_and_its_shard_is_not_kept(
    folder: Path, options: LabelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_batch = shard_embedding.embed_batch

    def changing(*given: object) -> np.ndarray:
        (folder / "03.png").write_bytes((folder / "04.png").read_bytes())
        return embed_batch(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(shard_embedding, "embed_batch", changing)
        with pytest.raises(FileError, match=r"03\.png: changed while the folder was read; nothing of it was kept"):
            embedded(folder, options, tmp_path / "runs")
    assert Workspace(tmp_path / "runs").store.keys(KIND) == []
    after = values(embedded(folder, options, tmp_path / "runs"))
    np.testing.assert_array_equal(after[3], after[4])


def test_a_full_disk_is_one_line_and_the_second_run_goes_on(
    folder: Path, options: LabelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    from kmpl.store import store

    save = store.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path, header: dict[str, str]) -> None:
        if "features" in tensors and sum(computed) > 16:
            raise OSError(28, "No space left on device")
        save(tensors, path, header)

    with monkeypatch.context() as patched:
        patched.setattr(store, "save_file", full)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device") as error:
            embedded(folder, options, tmp_path / "runs")
    assert "\n" not in str(error.value)
    assert sum(computed) == 8 * 3
    embedded(folder, options, tmp_path / "runs")
    assert sum(computed) == 8 * 3 + 8 + 6


def test_a_folder_without_a_readable_picture_is_refused(options: LabelOptions, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(FileError, match=r"none of 1 images can be read; a\.png: "):
        embedded(tmp_path / "none", options, tmp_path / "runs")


def test_files_that_were_seen_before_are_not_decoded_again(
    folder: Path, options: LabelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first = embedded(folder, options, tmp_path / "runs")
    monkeypatch.setattr(embed_shards, "survey", lambda *_: pytest.fail("decoded again"))
    second = embedded(folder, options, tmp_path / "runs")
    assert (second.files, second.left_out) == (first.files, first.left_out)
    assert list(second.left_out) == ["07.png"]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["a disk that is shared", "an object store"])
def test_workers_compute_the_same_however_many(
    folder: Path,
    options: LabelOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    elsewhere: bool,
) -> None:
    distributed = pytest.importorskip("distributed")
    here = values(embedded(folder, options, tmp_path / "here"))
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))
    if elsewhere:
        bucket: Bucket = request.getfixturevalue("bucket")
        monkeypatch.setenv("KMPL_STORE", bucket.address)
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    done: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own machinery
        with distributed.LocalCluster(**workers, protocol="tcp") as cluster:
            monkeypatch.setenv("KMPL_DASK", cluster.scheduler_address)
            there = embedded(folder, options, tmp_path / "there", lambda n, total: done.append(n))  # noqa: ARG005
    np.testing.assert_array_equal(values(there), here)
    assert (done[0], done[-1], len(done)) == (0, N, SHARDS + 1)
    assert not list((tmp_path / "there").glob(".home-*"))
    assert not list((tmp_path / "scratch").rglob("*.png"))


def test_a_worker_that_sees_another_disk_or_counts_otherwise_refuses(
    folder: Path, options: LabelOptions, tmp_path: Path
) -> None:
    files = tuple(sorted(path.name for path in folder.iterdir()))
    shard = Shard(number=0, files=files, digests=("0" * 64,) * len(files))
    workspace = Workspace(tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    at = shard_embedding.key_of(shard, shard_embedding.reading_key(options, PLAIN))
    mark = tmp_path / "elsewhere" / ".home"
    for key, line in ((at, "it does not see .*elsewhere of .*; give KMPL_STORE=s3://"), ("0", "its numbers would not")):
        sent = shard_workers._sent(folder, shard, key, options, PLAIN, workspace, mark)
        with pytest.raises(UserError, match=f"worker .*: {line}"):
            shard_workers.embed_sent(sent)


def test_no_scheduler_and_another_server_in_its_place_are_one_line(
    folder: Path, options: LabelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(scheduler, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as another:
        for port in (1, another.getsockname()[1]):
            monkeypatch.setenv("KMPL_DASK", f"tcp://127.0.0.1:{port}")
            with pytest.raises(UserError, match=rf"KMPL_DASK tcp://127.0.0.1:{port}: no scheduler of Dask's") as error:
                embedded(folder, options, tmp_path / "runs")
            assert "\n" not in str(error.value)
