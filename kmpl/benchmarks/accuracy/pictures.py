"""Benchmark of folders of pictures, a sub-folder per class: kmpl beside what anybody would do with the same features.

Some files of each class keep their label, all others are named. No arm sees a label that another does not see.
Shapes: N images, D feature dimension, C classes.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from kmpl.benchmarks.options import PICTURE_ARMS
from kmpl.config.backbones import AUTO, NO_BACKBONE
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import FolderImages, read_folder
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import SettingError, UserError
from kmpl.jobs import embed_folder
from kmpl.labelling.job import Job, prepare, run
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.ways import asked_backbone
from kmpl.method import pseudo_labels
from kmpl.method.pseudo_labels import Evidence
from kmpl.method.step_interface import Steps
from kmpl.store.store import Store
from kmpl.training.metrics import calibration_error_of

BASELINE, _NEIGHBOURS, _SPREADING, WITHOUT_CLUSTERS, OURS, _SCRATCH = PICTURE_ARMS
_BINS = 10
_PENALTY = 10.0  # the best of 1, 10, 100 and 1,000 on dev draws
_SMALL_CLASS = 10
"""A class with fewer files than labels asked for and these gives half of its files at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one arm made of one draw of labels; shares are fractions."""

    folder: str
    per_class: int
    """Labels of each class."""
    seed: int
    arm: str
    labels: int
    """Given labels in all."""
    accuracy: float
    """Share of the images without a label that are named rightly."""
    calibration: float | None
    """Expected calibration error over all of them, ten bins; None where an arm has no confidence."""
    coverage: float | None
    """Share of them whose label is written by default; None for arms that write all."""
    written: float | None
    """Share of the written labels that are right."""
    promised: float | None
    """Share that was expected to be."""
    seconds: float


def measure(
    folders: Sequence[Path],
    *,
    per_class: Sequence[int],
    seeds: Sequence[int],
    arms: Sequence[str],
    overrides: Mapping[str, Any],
    steps: Steps,
    store: Store,
) -> Iterator[Outcome]:
    """Yield the outcome of each arm, draw by draw.

    Args:
        folders: of pictures, a sub-folder per class.
        per_class: labels of each class.
        seeds: each draws the labels anew.
        arms: of ``PICTURE_ARMS``.
        overrides: settings of labelling, as a tree; ``backbone`` must name one.
        steps: of the method.
        store: keeps features.

    Raises:
        UserError: a folder cannot be read or has fewer than two classes, or an unknown arm.
    """
    unknown = [arm for arm in arms if arm not in PICTURE_ARMS]
    if unknown:
        raise SettingError("arms", unknown[0], "there is no such arm", ", ".join(PICTURE_ARMS))
    if asked_backbone(overrides) in (AUTO, NO_BACKBONE):
        reason = "the arms are compared on features of a backbone"
        raise SettingError("backbone", asked_backbone(overrides), reason, "a name, efficientnet-lite0 say")
    names = [root.resolve().name for root in folders]
    if len(set(names)) < len(names):
        raise UserError(f"two folders have the same name, {max(names, key=names.count)}; rename one of them")
    for root in folders:
        images = with_true_labels(root, overrides, store)
        for n in per_class:
            for seed in seeds:
                draw = replace(images, labels=drawn(images, n, seed))
                for arm in arms:
                    yield _outcome(draw, images.labels, arm, n, seed=seed, overrides=overrides, steps=steps)


def with_true_labels(root: Path, overrides: Mapping[str, Any], store: Store) -> FolderImages:
    """Return the images of a folder with a sub-folder per class, with features of the backbone.

    Raises:
        UserError: the folder cannot be read, has fewer than two classes, or images outside of them.
    """
    options = LabelOptions.model_validate(dict(overrides))
    images = embed_folder.embed(read_folder(root, size=options.size), options, store)
    if len(images.classes) < 2 or (images.labels == UNLABELLED).any():
        raise UserError(f"{root}: a sub-folder for each class is needed, and no image outside of them")
    return images


def drawn(images: FolderImages, per_class: int, seed: int) -> np.ndarray:
    """Return labels of some files of each class, drawn at random, (N,); −1 = none. A small class gives half at most."""
    draw = random.Random(1_000 * per_class + seed)
    labels = np.full(len(images.files), UNLABELLED)
    for c in range(len(images.classes)):
        files = np.flatnonzero(images.labels == c).tolist()
        n = min(per_class, len(files) // 2) if len(files) < per_class + _SMALL_CLASS else per_class
        labels[draw.sample(files, max(n, 1))] = c
    return labels


def _outcome(
    draw: FolderImages,
    truth: np.ndarray,
    arm: str,
    per_class: int,
    *,
    seed: int,
    overrides: Mapping[str, Any],
    steps: Steps,
) -> Outcome:
    begin = time.perf_counter()
    rest = draw.labels == UNLABELLED
    table: LabelTable | None = None
    if arm in (OURS, WITHOUT_CLUSTERS, _SCRATCH):
        table = _labelled(draw, arm, {**overrides, "seed": seed}, steps)
        guesses = table.guesses
        confidence: np.ndarray | None = table.confidence
    else:
        probabilities = _PLAIN[arm](draw)
        confidence = probabilities.max(axis=1)
        guesses = np.where(confidence > 0, probabilities.argmax(axis=1), UNLABELLED)
    right = guesses == truth
    is_written = table.assigned if table else np.zeros(len(truth), dtype=bool)
    return Outcome(
        folder=draw.root.resolve().name,
        per_class=per_class,
        seed=seed,
        arm=arm,
        labels=int((~rest).sum()),
        accuracy=float(right[rest].mean()),
        calibration=None if confidence is None else calibration_error_of(confidence[rest], right[rest], _BINS),
        coverage=table.coverage if table else None,
        written=float(right[is_written].mean()) if is_written.any() else None,
        promised=table.choice.expected_accuracy if table and is_written.any() else None,
        seconds=time.perf_counter() - begin,
    )


def _labelled(draw: FolderImages, arm: str, overrides: Mapping[str, Any], steps: Steps) -> LabelTable:
    if arm == _SCRATCH:
        return run(prepare(replace(draw, frozen=None), overrides), steps)[1]
    job = prepare(draw, overrides)
    return run(_without_clusters(job) if arm == WITHOUT_CLUSTERS else job, steps)[1]


def _without_clusters(job: Job) -> Job:
    """Return the same job with each image in a cluster of its own: its members have nothing new to say."""
    assert job.folder.frozen is not None, "the folder has features of a backbone"
    alone = np.arange(len(job.folder.files))
    return replace(job, folder=replace(job.folder, frozen=replace(job.folder.frozen, clusterings=(alone,))))


def _features(images: FolderImages) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, D) float64, and which images have a label, (N,) bool."""
    assert images.frozen is not None, "the folder has features of a backbone"
    return images.frozen.values.astype(np.float64), images.labels != UNLABELLED


def _logistic_regression(images: FolderImages) -> np.ndarray:
    features, given = _features(images)
    with threadpool_limits(1):
        model = LogisticRegression(C=_PENALTY, max_iter=2_000).fit(features[given], images.labels[given])
        return np.asarray(model.predict_proba(features))


def _nearest_neighbours(images: FolderImages) -> np.ndarray:
    features, given = _features(images)
    smallest = int(np.bincount(images.labels[given]).min())
    with threadpool_limits(1):
        model = KNeighborsClassifier(min(5, smallest), weights="distance", algorithm="brute")
        return np.asarray(model.fit(features[given], images.labels[given]).predict_proba(features))


def _label_spreading(images: FolderImages) -> np.ndarray:
    features, _ = _features(images)
    guess = pseudo_labels.label_spreading(
        Evidence(
            features=features,
            probabilities=np.zeros((len(features), len(images.classes))),
            labels=images.labels,
            clustering=Clustering(),
            settings=PseudoLabelling(),
            seed=0,
        )
    )
    n_classes = len(images.classes)
    reached = np.flatnonzero(guess.classes != UNLABELLED)
    probabilities = np.zeros((len(features), n_classes))  # a row stays as it is where no label reaches
    probabilities[reached] = ((1 - guess.confidence[reached]) / max(n_classes - 1, 1))[:, None]
    probabilities[reached, guess.classes[reached]] = guess.confidence[reached]
    return probabilities


_PLAIN = {BASELINE: _logistic_regression, _NEIGHBOURS: _nearest_neighbours, _SPREADING: _label_spreading}
