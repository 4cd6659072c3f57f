"""MNIST that travels with the package: verified, unpacked once, whole or not at all."""

import os
import shutil
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import torch
from forked import Forked
from torchvision.datasets import MNIST

from kmpl.datasets import mnist
from kmpl.errors import UserError
from kmpl.runtime.files import sha256


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packed files that a test may damage, and a cache of its own that is still empty."""
    copy = tmp_path / "packed"
    shutil.copytree(mnist.PACKED, copy)
    monkeypatch.setattr(mnist, "PACKED", copy)
    monkeypatch.setenv("KMPL_CACHE", str(tmp_path / "cache"))
    return copy


def raw(cache: Path) -> Path:
    return cache / "datasets" / "MNIST" / "raw"


@pytest.mark.parametrize(
    ("train", "count", "first"), [(True, 60_000, [5, 0, 4, 1, 9]), (False, 10_000, [7, 2, 1, 0, 4])]
)
def test_the_images_are_mnist(train: bool, count: int, first: list[int]) -> None:
    data = mnist.read(train)
    assert data.images.shape == (count, 1, 28, 28)
    assert data.images.dtype == torch.uint8
    assert data.labels.shape == (count,)
    assert data.labels.dtype == torch.int64
    assert data.labels[:5].tolist() == first
    assert data.labels.unique().tolist() == list(range(10))
    assert data.classes == tuple("0123456789")
    theirs = MNIST(mnist.unpacked_folder(), train=train, download=False)
    assert torch.equal(data.images[:, 0], theirs.data)
    assert torch.equal(data.labels, theirs.targets)
    assert 30 < data.images.float().mean() < 36, "strokes are bright on a dark ground"


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_packed_file_is_named_with_both_digests_and_nothing_half_unpacked_stays(
    packed: Path, tmp_path: Path, damage: str
) -> None:
    name = "t10k-labels-idx1-ubyte"  # the last file: the three before it are unpacked when the damage is seen
    path = packed / f"{name}.gz"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged") as caught:
        mnist.read(train=True)
    message = str(caught.value)
    for part in (str(path), f"expected SHA-256 {mnist.DIGESTS[name][0]}", f"found {sha256(path)}"):
        assert part in message
    assert "\n" not in message
    assert not raw(tmp_path / "cache").exists()
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file() or p.name.startswith(".")] == []


def test_a_missing_packed_file_is_named(packed: Path) -> None:
    path = packed / "train-images-idx3-ubyte.gz"
    path.unlink()
    with pytest.raises(UserError, match="found no file; install kmpl again") as caught:
        mnist.read(train=True)
    assert str(path) in str(caught.value)


@pytest.mark.usefixtures("packed")
def test_the_cache_lies_under_kmpl_cache_and_is_unpacked_only_once(tmp_path: Path) -> None:
    root = mnist.unpacked_folder()
    assert root == tmp_path / "cache" / "datasets"
    written = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in raw(tmp_path / "cache").iterdir()}
    assert written.keys() == mnist.DIGESTS.keys()
    assert mnist.unpacked_folder() == root
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in raw(tmp_path / "cache").iterdir()} == written
    assert [p.name for p in raw(tmp_path / "cache").parent.iterdir()] == ["raw"], "no draft stays behind"


@pytest.mark.usefixtures("packed")
@pytest.mark.parametrize("damage", ["altered", "truncated"])
def test_a_damaged_cached_file_is_unpacked_again_with_a_warning(tmp_path: Path, damage: str) -> None:
    mnist.unpacked_folder()
    name = "t10k-labels-idx1-ubyte"
    path = raw(tmp_path / "cache") / name
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content if damage == "altered" else content[:5_000])
    with pytest.warns(UserWarning, match=r"raw was damaged and is unpacked again") as caught:
        mnist.unpacked_folder()
    assert str(path.parent) in str(caught[0].message)
    assert sha256(path) == mnist.DIGESTS[name][1]


@pytest.mark.usefixtures("packed")
@pytest.mark.filterwarnings("ignore:.*unpacked again")
def test_a_file_missing_from_the_cache_is_unpacked_again(tmp_path: Path) -> None:
    mnist.unpacked_folder()
    (raw(tmp_path / "cache") / "t10k-labels-idx1-ubyte").unlink()
    assert mnist.read(train=False).labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("place", ["the cache", "a folder inside it"])
def test_a_cache_that_cannot_be_written_says_in_one_line_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    cache = tmp_path / "cache"
    blocked = cache if place == "the cache" else cache / "datasets"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where a folder is needed")
    monkeypatch.setenv("KMPL_CACHE", str(cache))
    with pytest.raises(UserError, match=r"^cannot write .*; set KMPL_CACHE to another folder") as caught:
        mnist.read(train=True)
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert blocked.read_text() == "a file where a folder is needed"


def test_processes_that_start_together_on_an_empty_cache_all_succeed(tmp_path: Path) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from kmpl.datasets import mnist\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(len(mnist.read(True).labels))"
    )
    environment = os.environ | {"KMPL_CACHE": str(tmp_path)}
    readers = [
        Forked([sys.executable, "-c", code], env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE) for _ in range(3)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
    answers = [reader.communicate(timeout=120) for reader in readers]
    assert [out for out, _ in answers] == ["60000\n"] * 3, answers
