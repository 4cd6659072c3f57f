"""Which labels follow from the journal: a pure function of its rows and of the given labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from kmpl.errors import UserError
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.review.decisions import (
    ClusterMarked,
    ClusterNamed,
    ClusterSplit,
    Decision,
    ImagesNamed,
    RoundStarted,
    Undo,
    Written,
)

Verdict = Literal["open", "named", "mixed", "none", "split", "clustered again"]
NO_CLASS = "none of the classes"
"""Note of an image that a person found to be of none of the classes."""


class DecisionError(UserError):
    """A decision that cannot be: there is no such cluster, or it is one no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster, and what a person said of it."""

    number: int
    """From 0 on, through all rounds."""
    round: int
    """Round that made the cluster, from 1 on."""
    files: tuple[str, ...]
    verdict: Verdict = "open"
    label: str = ""
    """Its name, if it was named."""

    @property
    def is_current(self) -> bool:
        """Whether the cluster can be decided on: it was neither split nor clustered again."""
        return self.verdict not in ("split", "clustered again")


@dataclass(slots=True)
class State:
    """What all decisions together say. ``apply`` changes it; ``replay`` makes it anew."""

    clusters: dict[int, Cluster] = field(default_factory=dict)
    """By number."""
    images: dict[str, str] = field(default_factory=dict)
    """Labels that a person gave to single images, by file; empty = of no class."""
    round: int = 0
    """Rounds so far."""

    def current(self) -> list[Cluster]:
        """Return the clusters that can be decided on."""
        return [cluster for cluster in self.clusters.values() if cluster.is_current]

    def clusters_of_files(self) -> dict[str, Cluster]:
        """Return the latest cluster of each image, by file."""
        return {
            file: cluster for cluster in self.clusters.values() if cluster.verdict != "split" for file in cluster.files
        }

    def apply(self, decision: Decision) -> None:
        """Let a decision count; one that is refused changes nothing.

        Raises:
            DecisionError: there is no such cluster, or it is one no more.
        """
        match decision:
            case RoundStarted():
                self._start_round(decision.clusters)
            case ClusterNamed():
                self._decide(decision.cluster, "named", decision.label)
            case ClusterMarked():
                self._decide(decision.cluster, decision.verdict)
            case ClusterSplit():
                self._split(decision)
            case ImagesNamed():
                self.images |= dict.fromkeys(decision.files, decision.label)

    def cluster(self, number: int) -> Cluster:
        """Return a cluster that can be decided on.

        Raises:
            DecisionError: there is no such cluster, or it is one no more.
        """
        cluster = self.clusters.get(number)
        if cluster is None:
            raise DecisionError(f"cluster {number}: there is no such cluster")
        if not cluster.is_current:
            raise DecisionError(f"cluster {number}: it was {cluster.verdict}; decide on the clusters that it became")
        return cluster

    def _decide(self, number: int, verdict: Verdict, label: str = "") -> None:
        self.clusters[number] = replace(self.cluster(number), verdict=verdict, label=label)

    def _add(self, groups: Iterable[tuple[str, ...]], round_: int) -> None:
        for files in groups:
            number = len(self.clusters)
            self.clusters[number] = Cluster(number=number, round=round_, files=files)

    def _start_round(self, groups: Iterable[tuple[str, ...]]) -> None:
        for cluster in self.current():
            if cluster.verdict in ("open", "mixed"):
                self._decide(cluster.number, "clustered again")
        self.round += 1
        self._add(groups, self.round)

    def _split(self, decision: ClusterSplit) -> None:
        cluster = self.cluster(decision.cluster)
        if sorted(file for part in decision.parts for file in part) != sorted(cluster.files):
            raise DecisionError(f"cluster {cluster.number}: its parts are not made of its {len(cluster.files)} images")
        self._decide(cluster.number, "split")
        self._add(decision.parts, cluster.round)


def counting(rows: Iterable[Decision | Undo | Written]) -> list[Decision]:
    """Return the decisions that count: those that no later ``Undo`` took back. The first round always counts."""
    decisions: list[Decision] = []
    for row in rows:
        match row:
            case Undo():
                if len(decisions) > 1:
                    decisions.pop()
            case Written():
                pass
            case _:
                decisions.append(row)
    return decisions


def replay(rows: Iterable[Decision | Undo | Written]) -> State:
    """Return the state after all rows.

    Raises:
        DecisionError: a row does not fit those before it.
    """
    state = State()
    for decision in counting(rows):
        state.apply(decision)
    return state


def records(
    state: State,
    files: Sequence[str],
    *,
    given: Mapping[str, str],
    assigned: Mapping[str, str],
    by_cluster: Mapping[str, str] = MappingProxyType({}),
) -> list[LabelRecord]:
    """Return what is known of each image's label.

    What a person said of the image itself comes first, then its given label, the name of its cluster, the name that its
    cluster had in an earlier review, and what ``kmpl label`` assigned earlier.

    Args:
        state: the decisions.
        files: all images of the folder.
        given: given labels, by file.
        assigned: labels that ``kmpl label`` assigned earlier, by file.
        by_cluster: names that clusters of an earlier review had, by file.
    """
    clusters = state.clusters_of_files()
    earlier = {file: (label, ASSIGNED) for file, label in assigned.items()}
    earlier |= {file: (label, CLUSTER) for file, label in by_cluster.items()}
    return [_record(state, f, clusters.get(f), given.get(f, ""), earlier.get(f, ("", ""))) for f in files]


def _record(state: State, file: str, cluster: Cluster | None, given: str, earlier: tuple[str, str]) -> LabelRecord:
    number = None if cluster is None else cluster.number
    if file in state.images or given:
        label = state.images.get(file, given)
        note = "" if label else NO_CLASS
        return LabelRecord(
            file=file,
            label=label,
            confidence=1.0 if label else None,
            source=GIVEN if label else "",
            cluster=number,
            round=0 if label else None,
            note=note,
        )
    if cluster is not None and cluster.verdict == "named":
        return LabelRecord(file=file, label=cluster.label, source=CLUSTER, cluster=number, round=cluster.round)
    if cluster is not None and cluster.verdict == "none":
        return LabelRecord(file=file, cluster=number, note=NO_CLASS)
    label, source = earlier
    return LabelRecord(file=file, label=label, source=source, cluster=number)
