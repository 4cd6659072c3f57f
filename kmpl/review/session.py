"""A review that is open: images, features, journal, and the one place where decisions are taken. Shapes: N images."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED
from kmpl.formats.given_labels import NO_RULES, Rules
from kmpl.formats.writing import write
from kmpl.review import order, rounds, worth
from kmpl.review.class_label import checked_label
from kmpl.review.decisions import ClusterNamed, ClusterSplit, Decision, ImagesNamed, RoundStarted, Undo, Written
from kmpl.review.journal import Journal
from kmpl.review.label_file import check_unchanged, digests_written
from kmpl.review.snapshot import Snapshot, Target
from kmpl.review.state import Cluster, DecisionError, counting, records, replay
from kmpl.runtime.files import sha256
from kmpl.runtime.output_paths import free_name


class Review:
    """A review; all its methods may be called from several threads."""

    def __init__(
        self,
        images: FolderImages,
        features: np.ndarray,
        journal: Journal,
        *,
        target: Target,
        seed: int = 0,
        n_clusters: int | None = None,
        rules: Rules = NO_RULES,
    ) -> None:
        """Take up the review where its journal ends; the first round is still to be started.

        Args:
            images: the folder with its given labels.
            features: (N, D), of whatever kind; similar images lie close together.
            journal: of earlier decisions.
            target: the file that the labels go to.
            seed: of the clusters.
            n_clusters: of each round; None = by the number of images.
            rules: which words for "no label" are classes here.

        Raises:
            DecisionError: the journal's rows do not fit each other.
        """
        self.images = images
        self.features = features
        self.journal = journal
        self.target = target
        self.busy = ""
        """What is being computed, while no decision can be taken; empty otherwise."""
        self.state = replay(journal.rows)
        self.index = {file: i for i, file in enumerate(images.files)}
        labels = {f: images.classes[c] for f, c in zip(images.files, images.labels, strict=True) if c != UNLABELLED}
        self.assigned = {file: label for file, label in labels.items() if file in images.unreviewed}
        self.by_cluster = {file: label for file, label in labels.items() if file in images.by_cluster}
        self.given = {file: labels[file] for file in labels if file not in self.assigned | self.by_cluster}
        self._seed = seed
        self._n_clusters = n_clusters
        self._rules = rules
        self._near = order.neighbours(features)
        self._members: dict[int, np.ndarray] = {}
        self._purities: dict[int, float] = {}
        self._snapshot: Snapshot | None = None
        self.lock = threading.RLock()

    @property
    def version(self) -> int:
        """A number that grows with each row of the journal: a page that knows it need not ask for more."""
        return len(self.journal.rows)

    def refresh(self) -> None:
        """Take over what another process has written, if this one only reads."""
        with self.lock:
            if self.journal.read_only and self.journal.refresh():
                self._replay()

    def snapshot(self) -> Snapshot:
        """Return what follows from the decisions so far."""
        with self.lock:
            if self._snapshot is None:
                files = self.images.files
                labels = records(
                    self.state, files, given=self.given, assigned=self.assigned, by_cluster=self.by_cluster
                )
                named = [cluster.label for cluster in self.state.clusters.values()]
                names = dict.fromkeys([*self.images.classes, *named, *self.state.images.values()])
                classes = tuple(name for name in names if name)
                self._snapshot = Snapshot(labels=labels, classes=classes, near=self._near)
            return self._snapshot

    def members(self, cluster: Cluster) -> np.ndarray:
        """Return the indices of a cluster's images that are still in the folder, nearest to their mean first."""
        if cluster.number not in self._members:
            there = np.array([self.index[file] for file in cluster.files if file in self.index], dtype=np.int64)
            self._members[cluster.number] = order.by_distance(self.features, there) if len(there) else there
        return self._members[cluster.number]

    def purity(self, cluster: Cluster) -> float:
        """Return how often neighbours of a cluster's members are members."""
        if cluster.number not in self._purities:
            self._purities[cluster.number] = order.purity(self._near, self.members(cluster))
        return self._purities[cluster.number]

    def decide(self, decision: Decision) -> None:
        """Take a decision: it is in the journal when this returns.

        Raises:
            UserError: the decision cannot be, a round is being made, or the journal cannot be written.
        """
        with self._deciding():
            self._append(self._checked(decision))

    def split(self, number: int) -> None:
        """Split a cluster in two.

        Raises:
            UserError: as ``decide``, or the cluster cannot be split.
        """
        with self._deciding():
            cluster = self.state.cluster(number)
            parts = rounds.split(self.features, self.members(cluster), seed=self._seed)
            gone = tuple(file for file in cluster.files if file not in self.index)  # stay with the larger part
            first, second = (tuple(self.images.files[i] for i in sorted(part)) for part in parts)
            self._append(ClusterSplit(cluster=number, parts=(first + gone, second)))

    def undo(self) -> Decision:
        """Take back the last decision that counts, and return it; the first round is none.

        Raises:
            UserError: there is nothing to take back, or as ``decide``.
        """
        with self._deciding():
            decision = self.last_decision
            if decision is None:
                raise DecisionError("there is nothing to undo")
            self.journal.append(Undo())
            self._replay()
            return decision

    @property
    def last_decision(self) -> Decision | None:
        """The decision that ``undo`` would take back."""
        decisions = counting(self.journal.rows)
        return decisions[-1] if len(decisions) > 1 else None

    def unnamed(self) -> np.ndarray:
        """Return the images that a next round would cluster: without a label, and not found to be of no class."""
        labels = self.snapshot().labels
        return np.array([i for i, record in enumerate(labels) if not record.label and not record.note], dtype=np.int64)

    def start_round(self) -> None:
        """Cluster the images that have no name yet; the first round clusters all images.

        Raises:
            UserError: no image is left, or as ``decide``.
        """
        with self._deciding():
            number = self.state.round + 1
            members = np.arange(len(self.images.files)) if number == 1 else self.unnamed()
            if not len(members):
                raise DecisionError("no image is left for a next round: all are named or set aside")
            self.busy = f"round {number}: {len(members):,} images are clustered"
        try:
            clusters = rounds.make_clusters(
                self.features, members, n_clusters=self._n_clusters, seed=self._seed, number=number
            )
            files = tuple(tuple(self.images.files[i] for i in sorted(cluster)) for cluster in clusters)
            with self.lock:
                self._append(RoundStarted(clusters=files))
        finally:
            self.busy = ""

    def write(self, *, under_another_name: bool = False) -> str:
        """Write the labels, and return what was written in one line.

        Args:
            under_another_name: write ``NAME_2.csv`` or the next free name, now and from now on.

        Raises:
            UserError: the file was changed by hand, it cannot be written, or as ``decide``.
        """
        with self._deciding():
            if under_another_name:
                self.target = Target(path=free_name(self.target.path), format=self.target.format)
            path = self.target.path
            check_unchanged(path, self.replaceable())
            labels = self.snapshot().labels
            there = [record for record in labels if (self.images.root / record.file).exists()]

            def keep(draft: Path) -> None:  # the journal first: killed then, the old file is still one of this review
                self.journal.append(Written(file=str(path.resolve()), digest=sha256(draft)))

            write(there, path, self.images.root, self.target.format, keep)
            gone = f"; {n_gone:,} left out, their files are gone" if (n_gone := len(labels) - len(there)) else ""
            n_labels = sum(bool(record.label) for record in there)
            return f"{path}: {n_labels:,} labels of {len(there):,} images{gone}"

    def replaceable(self) -> set[str]:
        """Return the SHA-256 of all contents of the target that may be replaced: those that the review wrote."""
        return digests_written(self.journal.rows, self.target.path) | self.target.may_replace

    def is_written(self) -> bool:
        """Return whether the labels were written to the target, and no decision came since."""
        last = self.journal.rows[-1] if self.journal.rows and self.target.path.exists() else None
        return isinstance(last, Written) and last.file == str(self.target.path.resolve())

    def accuracy(self) -> worth.Accuracy | None:
        """Return how many labels by cluster are right, as far as it is known."""
        return worth.accuracy(self.state, self.images.files, self.given)

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        with self.lock:
            if self.busy:
                raise DecisionError(f"{self.busy}; wait a moment")
            yield

    def _checked(self, decision: Decision) -> Decision:
        if not isinstance(decision, ClusterNamed | ImagesNamed):
            return decision
        label = checked_label(decision.label, self._rules, may_be_empty=isinstance(decision, ImagesNamed))
        files = decision.files if isinstance(decision, ImagesNamed) else ()
        missing = [file for file in files if file not in self.index]
        if missing:
            raise DecisionError(f"{missing[0]}: there is no such image in the folder")
        return decision.model_copy(update={"label": label})

    def _append(self, decision: Decision) -> None:
        if not isinstance(decision, RoundStarted | ImagesNamed):
            self.state.cluster(decision.cluster)  # refused before it is written
        self.journal.append(decision)
        self.state.apply(decision)
        self._snapshot = None

    def _replay(self) -> None:
        self.state = replay(self.journal.rows)
        self._members.clear()
        self._purities.clear()  # numbers of clusters that were undone are given anew
        self._snapshot = None
