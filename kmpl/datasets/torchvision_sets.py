"""Readers of torchvision's data sets: one function each."""

from pathlib import Path

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive

from kmpl.datasets.types import Images
from kmpl.errors import FileError
from kmpl.runtime.files import cache_folder


def _images(pixels: torch.Tensor | np.ndarray, labels: object, classes: tuple[str, ...] | list[str]) -> Images:
    """Bring (N, H, W), (N, H, W, channels) or (N, channels, H, W) into the one form that kmpl uses."""
    batch = torch.as_tensor(pixels)
    if batch.ndim == 3:
        batch = batch[:, None]
    elif batch.shape[-1] == 3:
        batch = batch.permute(0, 3, 1, 2)
    return Images(
        images=batch.contiguous(), labels=torch.as_tensor(np.asarray(labels), dtype=torch.int64), classes=tuple(classes)
    )


def fashion_mnist(train: bool) -> Images:
    return _mnist_like(datasets.FashionMNIST, train)


def kmnist(train: bool) -> Images:
    return _mnist_like(datasets.KMNIST, train)


def _mnist_like(kind: type[datasets.MNIST], train: bool) -> Images:
    data = kind(cache_folder() / "datasets", train=train, download=True)
    return _images(data.data, data.targets, data.classes)


def emnist(train: bool) -> Images:
    data = datasets.EMNIST(cache_folder() / "datasets", split="balanced", train=train, download=True)
    return _images(data.data.transpose(1, 2), data.targets, data.classes)  # EMNIST's files are stored transposed


def usps(train: bool) -> Images:
    data = datasets.USPS(str(cache_folder() / "datasets" / "USPS"), train=train, download=True)
    return _images(data.data, data.targets, list("0123456789"))


def svhn(train: bool) -> Images:
    root = cache_folder() / "datasets" / "SVHN"
    data = datasets.SVHN(root, split="train" if train else "test", download=True)
    return _images(data.data, data.labels, list("0123456789"))


# torchvision reads CIFAR from pickles; the same images come as plain bytes too, and those are read here.
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_FILES = {
    10: ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin", "batches.meta.txt"),
    100: ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary", "fine_label_names.txt"),
}


def cifar10(train: bool) -> Images:
    return _cifar(10, train)


def cifar100(train: bool) -> Images:
    return _cifar(100, train)


def _cifar(n_classes: int, train: bool) -> Images:
    archive, md5, name, names = _CIFAR_FILES[n_classes]
    root = cache_folder() / "datasets" / "CIFAR"
    folder = root / name
    parts = (["train.bin"] if n_classes == 100 else [f"data_batch_{i}.bin" for i in range(1, 6)]) if train else []
    parts = parts or ["test.bin" if n_classes == 100 else "test_batch.bin"]
    if not all((folder / part).is_file() for part in [*parts, names]):
        download_and_extract_archive(_CIFAR + archive, root, md5=md5)
    head = 2 if n_classes == 100 else 1  # CIFAR-100 puts the coarse label before the fine one
    rows = np.concatenate([_records(folder / part, head + 3072) for part in parts])
    classes = (folder / names).read_text(encoding="utf-8").split()
    return _images(rows[:, head:].reshape(-1, 3, 32, 32), rows[:, head - 1], classes)


def _records(path: Path, size: int) -> np.ndarray:
    data = np.fromfile(path, dtype=np.uint8)
    if len(data) == 0 or len(data) % size:
        raise FileError(
            f"{path} is damaged: {len(data)} bytes are no whole number of records of {size}; delete it", path
        )
    return data.reshape(-1, size)
