"""Accuracy of ``kmpl label`` on folders of image files whose true labels are known."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmpl.benchmarks import merge_seeds
from kmpl.benchmarks.accuracy.digit_folders import SETS, draw, suggested, write, write_labels
from kmpl.benchmarks.merge_seeds import Sessions
from kmpl.benchmarks.provenance import sessions_provenance
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.jobs import folder_images, label_folder
from kmpl.jobs.label_files import Files
from kmpl.method import pseudo_labels
from kmpl.method.pseudo_labels import Evidence
from kmpl.reports.sweep_page import grid


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderResult:
    """The result of one labelling. Accuracies are fractions of the labels that were not given."""

    name: str
    seed: int
    everything: float
    """Accuracy if every image gets a label."""
    expected: float | None
    """Accuracy of the labels that are written; None if none is."""
    coverage: float
    """Share of the unlabelled images that get a label."""
    said: float | None
    """Accuracy of the written labels that the check expects; None if it expects none."""
    surest: float | None
    """Accuracy of the labels with confidence 0.9 or more; None if there is none."""
    surest_share: float
    """Share of the unlabelled images with such a label."""
    spreading: float
    """Accuracy of LabelSpreading on pixels, for every image; one that no label reaches is not named rightly."""
    hidden: str
    """How many of the labels that the check hid were found again, in words."""
    read: float
    """Images read per second."""
    minutes: float
    """Minutes in all; less if steps came from the store."""


def measure(name: str, seed: int, *, folder: Path, mlruns: Path, overrides: dict[str, object]) -> FolderResult:
    """Write a folder, label it, and compare the labels with the true ones."""
    truth = write(name, folder / name)
    kind = SETS[name]
    table = folder / f"{name} labels, seed {seed}.csv"
    if kind.drawn == "suggested":
        to_label = suggested(folder / name, kind.n_labels, seed, mlruns)
    else:
        to_label = draw(truth, kind.n_labels, seed, kind.drawn == "balanced")
    write_labels(truth, to_label, table)
    files = Files(folder / name, folder / f"{name} labelled, seed {seed}.csv", table, overwrite=True)
    settings = overrides | {"seed": seed}
    begin = time.perf_counter()
    images = folder_images.read(files, label_folder.options(settings).size)
    read_at = time.perf_counter()
    labelled, _ = label_folder.label(files, images, settings, mlruns=mlruns)
    minutes = (time.perf_counter() - begin) / 60
    classes = labelled.folder.classes
    rest = ~labelled.given
    right = numbers(classes, labelled.guesses) == truth
    written = labelled.assigned
    sure = rest & (labelled.confidence >= 0.9)
    guesses_by_pixels = label_spreading(images.images.flatten(1).numpy() / 255, images.labels)
    right_by_pixels = (guesses_by_pixels != UNLABELLED) & (numbers(classes, guesses_by_pixels) == truth)
    return FolderResult(
        name=name,
        seed=seed,
        everything=float(right[rest].mean()),
        expected=float(right[written].mean()) if written.any() else None,
        coverage=labelled.coverage,
        said=labelled.choice.expected_accuracy if np.isfinite(labelled.choice.expected_accuracy) else None,
        surest=float(right[sure].mean()) if sure.any() else None,
        surest_share=float(sure.sum() / rest.sum()),
        spreading=float(right_by_pixels[rest].mean()),
        hidden=f"{labelled.choice.n_found_again} of {labelled.choice.n_hidden}",
        read=len(truth) / (read_at - begin),
        minutes=minutes,
    )


def label_spreading(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the classes (N,) that the strategy label-spreading gives images by their pixels (N, D), −1 = none."""
    no_votes = np.zeros((len(labels), int(labels.max()) + 1))
    evidence = Evidence(
        features=pixels,
        probabilities=no_votes,
        labels=labels,
        clustering=Clustering(),
        settings=PseudoLabelling(),
        seed=0,
    )
    return pseudo_labels.label_spreading(evidence).classes


def numbers(classes: Sequence[str], guesses: np.ndarray) -> np.ndarray:
    """Return guesses as numbers: class names are numbers, sorted as texts (10 before 2).

    >>> numbers(("0", "1", "10", "2"), np.array([2, 3]))
    array([10,  2])
    """
    return np.array([int(name) for name in classes])[guesses]


def read_earlier(
    name: str, join: Path | None, *, out: Path, config: LabelOptions, seeds: Sequence[int]
) -> Sessions[FolderResult] | None:
    """Return the sessions in the file ``join``, if any; refuse to overwrite a table whose seeds would be lost.

    Raises:
        UserError: an error of ``merge_seeds.read_earlier``, or the file is of another set.
    """
    earlier = merge_seeds.read_earlier(join, out=out, kind=Sessions[FolderResult], config=config, seeds=seeds)
    if earlier and earlier.rows[0].name != name:
        raise UserError(f"--join {join}: these are numbers of {earlier.rows[0].name}; give those of {name}")
    return earlier


def markdown(sessions: Sessions[FolderResult], demanded: float) -> str:
    """Return the table as markdown."""
    rows = sessions.rows
    kind = SETS[rows[0].name]
    n_images = len(kind.read()[1])
    header = ["seed", "all named: right", "LabelSpreading by pixels", "written", "of these right", "expected"]
    header += ["confidence ≥ 0.9", "of these right", "hidden, found again", "images read/s", "minutes"]
    shares = [(r.everything, r.spreading, r.coverage, r.expected, r.said, r.surest_share, r.surest) for r in rows]
    texts = [["–" if share is None else f"{100 * share:.2f}" for share in line] for line in shares]
    cells = [[f"{r.seed}", *line, r.hidden] for r, line in zip(rows, texts, strict=True)]
    cells = [[*line, f"{r.read:,.0f}", f"{r.minutes:.1f}"] for line, r in zip(cells, rows, strict=True)]
    columns = [[share for share in column if share is not None] for column in zip(*shares, strict=True)]
    cells.append(["mean ± sd", *(percent_mean_sd(column) if column else "–" for column in columns), "", "", ""])
    reached = sum(r.expected is not None and r.expected >= demanded for r in rows)  # without a label it is not reached
    how = {"balanced": "as many of each class", "random": "drawn as they come", "suggested": "chosen by `kmpl suggest`"}
    title = f"{n_images:,} PNG files of {rows[0].name}, {kind.n_labels} of them labelled"
    return (
        f"# `kmpl label`: {title}, {how[kind.drawn]}\n\n"
        f"{grid(header, cells, left=())}\n\n"
        f"*Labels that were not given, in %; written are those of which {demanded:.1%} should be right. "
        f"Kept: {reached} of {len(rows)} seeds.*\n\n" + sessions_provenance(sessions.parts) + "\n"
    )


def percent_mean_sd(shares: Sequence[float]) -> str:
    """Return mean and standard deviation of shares in %.

    >>> percent_mean_sd([0.9, 0.92]), percent_mean_sd([0.5])
    ('91.00 ± 1.41', '50.00')
    """
    several = f" ± {100 * np.std(shares, ddof=1):.2f}" if len(shares) > 1 else ""
    return f"{100 * np.mean(shares):.2f}{several}"
