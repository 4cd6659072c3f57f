"""The table of labels of a folder: one row per image, given or assigned label. N images, C classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.formats import kmpl_csv
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.labelling.thresholds import ThresholdChoice
from kmpl.method.results import Labelling

UNLIKE = "unlike what is labelled"
"""Note of an image without a label that is farther from all given labels than these are from each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTable:
    """All images of a folder with their labels, in the order of ``folder.files``. V validation labels."""

    folder: FolderImages
    guesses: np.ndarray
    """(N,) int64: the given label, else the most likely class, whatever its confidence."""
    confidence: np.ndarray
    """(N,) in [0, 1], of the guess; 1 for a given label."""
    clusters: np.ndarray
    """(N,) int64 number of each image's K-means cluster; −1 if the strategy has no clusters."""
    distances: np.ndarray = field(repr=False)
    """(N,) distance of each image's features from the centroid of its cluster."""
    rounds: np.ndarray
    """(N,) int64 round that first assigned the final class; 0 = given label; R + 1 = no round did (R = rounds)."""
    choice: ThresholdChoice
    """The confidence threshold, and the reason for it."""
    validation: np.ndarray
    """(V,) int64: indices of the images whose given label was held out from training, for validation."""
    validation_guesses: np.ndarray
    """(V,) int64: the class that the last network gave each of them."""
    validation_right: np.ndarray
    """(V,) bool: that class is the given label."""
    stop_reason: str = ""
    """Why there was no further round."""
    suspects: Mapping[int, int] = field(default_factory=dict)
    """Given labels that look like another class: index of the image → that class."""
    unlike: np.ndarray | None = None
    """(N,) bool: images that are unlike anything labelled; None where that was not looked for."""
    curve: tuple[tuple[int, float], ...] = ()
    """Numbers of labels, and the accuracy that is expected with so many; empty where that was not looked for."""
    has_model: bool = True
    """False where no model of images is left: the features come from a file, or from another runtime."""
    way: str = ""
    """How the images were labelled and why so, in one line for people; empty where nothing was chosen."""

    @property
    def given(self) -> np.ndarray:
        """(N,) bool: images with a given label."""
        return self.folder.labels != UNLABELLED

    @property
    def classes(self) -> np.ndarray:
        """(N,) int64: given and assigned labels; −1 where the confidence is below the threshold."""
        threshold = self.choice.threshold
        enough = np.zeros(len(self.confidence), dtype=bool) if threshold is None else self.confidence >= threshold
        return np.where(self.given | enough, self.guesses, UNLABELLED)

    @property
    def assigned(self) -> np.ndarray:
        """(N,) bool: images with an assigned label."""
        return ~self.given & (self.classes != UNLABELLED)

    @property
    def has_confidence(self) -> bool:
        """False if confidence should be the probability of being right, but no hidden label could be tested."""
        return self.choice.target_accuracy is None or self.choice.is_checked

    @property
    def coverage(self) -> float:
        """Share of the unlabelled images that got a label; 1 if there were none."""
        return float(self.assigned.sum() / (~self.given).sum()) if (~self.given).any() else 1.0


def assemble(
    folder: FolderImages, pool: Pool, labelling: Labelling, *, choice: ThresholdChoice, validation: np.ndarray
) -> LabelTable:
    """Return the labels of all images, as the last network predicts them; that network was trained on pseudo-labels.

    Args:
        folder: the images; all of them are in the pool.
        pool: the images and labels that the method was given.
        labelling: the result of the method.
        choice: the confidence threshold.
        validation: (V,) indices of the images whose given label the method was not given.
    """
    n = len(folder.files)
    vote = labelling.vote.labels
    probabilities = labelling.vote.probabilities
    index = pool.sources  # row of the pool → image of the folder
    guesses = np.full(n, UNLABELLED, dtype=np.int64)
    rounds = np.full(n, UNLABELLED, dtype=np.int64)
    clusters = np.full(n, UNLABELLED, dtype=np.int64)
    confidence = np.zeros(n)
    distances = np.zeros(n)
    guesses[index] = probabilities.argmax(axis=1)
    confidence[index] = probabilities.max(axis=1)
    agrees = (vote.guesses == guesses[index]) & (vote.rounds != UNLABELLED)
    rounds[index] = np.where(agrees, vote.rounds, len(labelling.rounds) + 1)
    if vote.clusters:
        clusters[index] = vote.clusters.assignment
        offsets = labelling.vote.features - vote.clusters.centroids[vote.clusters.assignment]
        distances[index] = np.linalg.norm(offsets, axis=1)
    given = folder.labels != UNLABELLED
    return LabelTable(
        folder=folder,
        guesses=np.where(given, folder.labels, guesses),
        confidence=np.where(given, 1.0, confidence),
        clusters=clusters,
        distances=distances,
        rounds=np.where(given, 0, rounds),
        choice=choice,
        validation=validation,
        validation_guesses=guesses[validation],
        validation_right=guesses[validation] == folder.labels[validation],
        stop_reason=labelling.stop_reason,
    )


def to_csv(table: LabelTable) -> str:
    """Return the labels as CSV: a row per image, sorted by file; below the threshold the label is empty."""
    return kmpl_csv.text(records_of(table))


def records_of(table: LabelTable) -> list[LabelRecord]:
    """Return the labels of all images, sorted by file; below the threshold the label is empty."""
    return list(each_record(table))


def each_record(table: LabelTable) -> Iterator[LabelRecord]:
    """Yield the labels of all images, as ``records_of``, without holding them all."""
    names = table.folder.classes
    classes = table.classes
    assigned = table.assigned
    checked = table.folder.checked
    is_known = checked | (~table.given & table.has_confidence)  # of a label that nobody checked nothing was measured
    for i, file in enumerate(table.folder.files):
        has_label = bool(classes[i] != UNLABELLED)
        source = GIVEN if has_label else ""
        if assigned[i] or file in table.folder.unreviewed:  # assigned now, or earlier and handed back unchanged
            source = ASSIGNED
        elif file in table.folder.by_cluster:
            source = CLUSTER
        yield LabelRecord(
            file=file,
            label=names[classes[i]] if has_label else "",
            confidence=round(float(table.confidence[i]), 4) if is_known[i] else None,
            source=source,
            cluster=int(table.clusters[i]) if table.clusters[i] != UNLABELLED else None,
            round=int(table.rounds[i]) if has_label else None,
            note=note_of(table, i, is_empty=not has_label),
        )


def note_of(table: LabelTable, i: int, *, is_empty: bool) -> str:
    """Return what a person should know of an image: that its label is doubtful, or why it has none."""
    if i in table.suspects:
        return f"looks like {table.folder.classes[table.suspects[i]]}"
    return UNLIKE if is_empty and table.unlike is not None and table.unlike[i] else ""
