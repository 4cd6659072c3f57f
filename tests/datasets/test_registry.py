"""Data sets by name: each set's own format on disk is read right, and what goes wrong is said in one line."""

import ast
import bz2
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision

import kmpl
from kmpl.config.datasets import DATASETS
from kmpl.datasets import registry
from kmpl.datasets.types import Images
from kmpl.errors import UserError

N = 7
rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (N, 28, 28), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (N, 3, 32, 32), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 0], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets in an empty cache."""
    monkeypatch.setenv("KMPL_CACHE", str(tmp_path))
    place = tmp_path / "datasets"
    place.mkdir()
    return place


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write the format of MNIST: two zeros, 8 for unsigned bytes, the dimensions big-endian, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + shape + values.astype(np.uint8).tobytes())


def write_mnist_like(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    write_idx(folder / "raw" / f"{part}-images-idx3-ubyte", images)
    write_idx(folder / "raw" / f"{part}-labels-idx1-ubyte", labels)


def check(data: Images, images: np.ndarray, labels: np.ndarray, n_classes: int) -> None:
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64
    assert data.images.is_contiguous()
    assert len(data.classes) == len(set(data.classes)) == n_classes
    np.testing.assert_array_equal(data.images.numpy(), images)
    np.testing.assert_array_equal(data.labels.numpy(), labels)


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST"])
def test_sets_in_the_format_of_mnist_are_read(folder: Path, name: str) -> None:
    write_mnist_like(folder / name, "train", GREY, LABELS)
    write_mnist_like(folder / name, "t10k", GREY[::-1], LABELS[::-1])
    check(registry.read(name, train=True), GREY[:, None], LABELS, 10)
    check(registry.read(name, train=False), GREY[::-1, None], LABELS[::-1], 10)


@pytest.mark.parametrize(("part", "train"), [("train", True), ("test", False)])
def test_emnist_is_stored_transposed_and_comes_upright(folder: Path, part: str, train: bool) -> None:
    labels = LABELS + 37  # balanced: 47 classes of digits and letters
    write_mnist_like(folder / "EMNIST", f"emnist-balanced-{part}", GREY.transpose(0, 2, 1), labels)
    check(registry.read("EMNIST", train), GREY[:, None], labels, 47)


@pytest.mark.parametrize(("file", "train"), [("usps.bz2", True), ("usps.t.bz2", False)])
def test_usps_is_read_from_compressed_text(folder: Path, file: str, train: bool) -> None:
    """Labels are written from 1, pixels as numbers from -1 to 1 behind their index."""
    pixels = GREY[:, :16, :16]
    lines = [
        f"{label + 1} " + " ".join(f"{i + 1}:{value / 127.5 - 1:.6f}" for i, value in enumerate(image.ravel()))
        for image, label in zip(pixels, LABELS, strict=True)
    ]
    (folder / "USPS").mkdir()
    (folder / "USPS" / file).write_bytes(bz2.compress("\n".join(lines).encode() + b"\n"))
    data = registry.read("USPS", train)
    off = np.abs(data.images.numpy().astype(int) - pixels[:, None])
    assert off.max() <= 1, "torchvision rounds down"
    check(data, data.images.numpy(), LABELS, 10)


@pytest.mark.parametrize("train", [True, False])
def test_svhn_is_read_from_mat_files_and_its_label_ten_is_zero(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train: bool
) -> None:
    """torchvision insists on the MD5 of the real file; only that number is replaced here."""
    part = "train" if train else "test"
    url, file, _ = torchvision.datasets.SVHN.split_list[part]
    path = folder / "SVHN" / file
    path.parent.mkdir()
    stored = np.where(LABELS == 0, 10, LABELS).astype(np.uint8)
    scipy.io.savemat(path, {"X": COLOUR.transpose(2, 3, 1, 0), "y": stored[:, None]})
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(torchvision.datasets.SVHN.split_list, part, [url, file, md5])
    check(registry.read("SVHN", train), COLOUR, LABELS, 10)


def write_cifar10(folder: Path) -> Path:
    """Five training files and a test file of records: label, 1,024 red, green, blue bytes; the names in a text."""
    place = folder / "CIFAR" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    records = np.concatenate([LABELS[:, None], COLOUR.reshape(N, -1)], axis=1)
    for number in range(1, 6):
        np.roll(records, number, axis=0).tofile(place / f"data_batch_{number}.bin")
    records.tofile(place / "test_batch.bin")
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (place / "batches.meta.txt").write_text("\n".join([*names, "", ""]))
    return place


def test_cifar10_is_read_from_its_five_binary_files_in_their_order(folder: Path) -> None:
    write_cifar10(folder)
    images = np.concatenate([np.roll(COLOUR, number, axis=0) for number in range(1, 6)])
    labels = np.concatenate([np.roll(LABELS, number) for number in range(1, 6)])
    check(registry.read("CIFAR10", train=True), images, labels, 10)
    data = registry.read("CIFAR10", train=False)
    check(data, COLOUR, LABELS, 10)
    assert data.classes[3] == "cat"


def test_cifar100_takes_the_fine_label_not_the_coarse_one(folder: Path) -> None:
    place = folder / "CIFAR" / "cifar-100-binary"
    place.mkdir(parents=True)
    fine = LABELS + 90
    for file, step in (("train.bin", 1), ("test.bin", -1)):
        records = np.concatenate([LABELS[:, None], fine[:, None], COLOUR.reshape(N, -1)], axis=1)
        records[::step].tofile(place / file)
    (place / "fine_label_names.txt").write_text("".join(f"class_{i}\n" for i in range(100)))
    check(registry.read("CIFAR100", train=True), COLOUR, fine, 100)
    check(registry.read("CIFAR100", train=False), COLOUR[::-1], fine[::-1], 100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_cifar_file_that_is_no_whole_number_of_records_is_named(folder: Path, damage: Callable[[Path], None]) -> None:
    path = write_cifar10(folder) / "data_batch_3.bin"
    damage(path)
    with pytest.raises(UserError, match="no whole number of records of 3073; delete it") as caught:
        registry.read("CIFAR10", train=True)
    assert str(path) in str(caught.value)
    assert f"{path.stat().st_size} bytes" in str(caught.value)


@pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST", "EMNIST", "CIFAR10", "CIFAR100", "SVHN", "USPS"])
def test_without_network_one_line_says_what_to_do(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"^cannot get {name}: .*; go online, or put its files into ") as caught:
        registry.read(name, train=True)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("FashionMINST", "FashionMNIST"), ("mnist", "MNIST"), ("cifar-10", "CIFAR10"), ("SHVN", "SVHN")],
)
def test_an_unknown_name_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UserError, match=f"unknown dataset '{wrong}'; did you mean '{right}'") as caught:
        registry.read(wrong, train=True)
    assert all(name in str(caught.value) for name in DATASETS)


def imported(path: Path) -> set[str]:
    """Return the top-level names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_nothing_in_the_package_imports_pickle() -> None:
    files = sorted(Path(kmpl.__file__).parent.rglob("*.py"))
    assert any("torchvision" in imported(path) for path in files), "the search sees imports"
    assert {p.name: found for p in files if (found := imported(p) & {"pickle", "cloudpickle", "joblib", "dill"})} == {}
