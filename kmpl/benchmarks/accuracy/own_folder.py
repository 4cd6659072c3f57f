"""Folders of image files with a few labels, made of sets with known labels, and how well they are labelled."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmpl.benchmarks.accuracy.digit_folders import SETS, draw, suggested, write, write_labels
from kmpl.benchmarks.provenance import made
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.jobs import label_folder
from kmpl.method.pseudo_labels import Evidence, label_spreading
from kmpl.reports.sweep_page import grid


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
    files = label_folder.Files(folder / name, folder / f"{name} labelled, seed {seed}.csv", table, overwrite=True)
    settings = given | {"seed": seed}
    begin = time.perf_counter()
    images = label_folder.read(files, label_folder.options(settings).size)
    read = time.perf_counter()
    done, _ = label_folder.label(files, images, settings, mlruns)
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
    evidence = Evidence(
        features=pixels,
        probabilities=nobody,
        labels=labels,
        clustering=Clustering(),
        settings=PseudoLabelling(),
        seed=0,
    )
    return label_spreading(evidence).classes


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
