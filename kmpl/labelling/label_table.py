"""The labels of a folder, given and assigned, a row per image, and how they look as CSV. N images, C classes."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import LEFT_OUT, Pool
from kmpl.labelling.thresholds import Chosen
from kmpl.method.results import Labelling

HEADER = ("file", "label", "confidence", "cluster", "round", "source", "assigned")


@dataclass(frozen=True)
class Labelled:
    """All images of a folder with their labels, in the order of ``found.files``."""

    found: FolderImages
    guesses: np.ndarray
    """(N,) int64: the given label, else the class that is most likely, however unsure."""
    confidence: np.ndarray
    """(N,) in [0, 1], of the guess; 1 where the label is given."""
    clusters: np.ndarray
    """(N,) int64 number of each image's K-means cluster; −1 where the strategy makes none."""
    distances: np.ndarray = field(repr=False)
    """(N,) from the centroid of its cluster."""
    rounds: np.ndarray
    """(N,) int64 round whose clusters first voted for the class; 0 = given, one more than there were: none did."""
    chosen: Chosen
    """The threshold, and why it is that."""
    checked: np.ndarray
    """(hidden,) bool: was a given label that was hidden from training found again."""
    hidden: np.ndarray
    """(hidden,) int64: images whose label was hidden."""
    hidden_guesses: np.ndarray
    """(hidden,) int64: what they would have been called."""
    stop_reason: str = ""
    """Why there was no further round."""

    @property
    def given(self) -> np.ndarray:
        """(N,) bool."""
        return self.found.labels != LEFT_OUT

    @property
    def classes(self) -> np.ndarray:
        """(N,) int64: given and assigned labels, −1 where the guess is below the threshold."""
        return np.where(self.given | (self.confidence >= self.chosen.threshold), self.guesses, LEFT_OUT)

    @property
    def assigned(self) -> np.ndarray:
        """(N,) bool: got a label that nobody gave."""
        return ~self.given & (self.classes != LEFT_OUT)

    @property
    def known(self) -> bool:
        """Whether confidence says anything: False where it should be the chance of being right, and no label tells."""
        return self.chosen.demanded is None or self.chosen.tested > 1

    @property
    def coverage(self) -> float:
        """Share of the unlabelled images that got a label; 1 if there were none."""
        return float(self.assigned.sum() / (~self.given).sum()) if (~self.given).any() else 1.0


def assemble(found: FolderImages, pool: Pool, done: Labelling, chosen: Chosen, hidden: np.ndarray) -> Labelled:
    """Return the labels of all images: what the last network says, which has learnt what the clusters were called.

    Args:
        found: the folder; all its images are in the pool.
        pool: what the method was given.
        done: what it made of it.
        chosen: the threshold.
        hidden: (hidden,) images whose label the method was not given.
    """
    n, vote, place = len(found.files), done.vote.labels, pool.sources
    guesses, rounds, clusters = (np.full(n, LEFT_OUT, dtype=np.int64) for _ in range(3))
    confidence, distances = np.zeros(n), np.zeros(n)
    guesses[place], confidence[place] = done.vote.probabilities.argmax(axis=1), done.vote.probabilities.max(axis=1)
    voted = (vote.guesses == guesses[place]) & (vote.rounds != LEFT_OUT)
    rounds[place] = np.where(voted, vote.rounds, len(done.rounds) + 1)
    if vote.clusters:
        clusters[place] = vote.clusters.assignment
        apart = done.vote.features - vote.clusters.centroids[vote.clusters.assignment]
        distances[place] = np.linalg.norm(apart, axis=1)
    found_again, given = guesses[hidden], found.labels != LEFT_OUT
    return Labelled(
        found=found,
        guesses=np.where(given, found.labels, guesses),
        confidence=np.where(given, 1.0, confidence),
        clusters=clusters,
        distances=distances,
        rounds=np.where(given, 0, rounds),
        chosen=chosen,
        checked=found_again == found.labels[hidden],
        hidden=hidden,
        hidden_guesses=found_again,
        stop_reason=done.stop_reason,
    )


def table(done: Labelled) -> str:
    """Return the labels as CSV: a row per image, sorted by file; the label of an unsure one is empty.

    The last column says once more what was assigned: whoever corrects labels leaves it, and so it can be told later
    which labels are a person's.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(_rows(done))
    return out.getvalue()


def _rows(done: Labelled) -> Iterator[tuple[str, ...]]:
    names, classes, unknown = done.found.classes, done.classes, not done.known
    for i, file in enumerate(done.found.files):
        sure = classes[i] != LEFT_OUT
        own = done.assigned[i] or file in done.found.own  # assigned now, or earlier and handed back as it was
        source = "assigned" if own else "given" if sure else ""
        label = names[classes[i]] if sure else ""
        yield (
            file,
            label,
            "" if unknown and not done.given[i] else f"{done.confidence[i]:.4f}",
            str(done.clusters[i]) if done.clusters[i] != LEFT_OUT else "",
            str(done.rounds[i]) if sure else "",
            source,
            label if own else "",
        )
