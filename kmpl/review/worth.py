"""What a review is worth so far: images by the source of their label, accuracy, and whether to go on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from kmpl.formats.records import ASSIGNED, CLUSTER, LabelRecord
from kmpl.review.order import shuffled
from kmpl.review.state import State

_FEW_CHECKED = 30  # of these, even all right leave an interval of ten points
_FEW_IMAGES = 2.0  # that a key is worth: fewer are named as quickly one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Images by the source of their label; together all images."""

    given: int
    """Given label that nobody touched."""
    image: int
    """Label that a person gave to the image itself, or confirmed."""
    cluster: int
    """Name of the cluster; nobody looked at the image."""
    assigned: int
    """Label that ``kmpl label`` assigned earlier."""
    no_class: int
    """Found to be of none of the classes."""
    unnamed: int

    @property
    def named(self) -> int:
        """Images with a label."""
        return self.given + self.image + self.cluster + self.assigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Accuracy of the labels by cluster, from images that were checked one by one."""

    checked: int
    right: int
    low: float
    """Lower end of the 95 % interval (Clopper and Pearson)."""
    high: float
    in_all: int
    """Images that were named by their cluster."""

    @property
    def share(self) -> float:
        """Share of the checked ones that are right."""
        return self.right / self.checked


def counts(labels: Sequence[LabelRecord], state: State, given: Mapping[str, str]) -> Counts:
    """Return the number of images by source.

    Args:
        labels: of all images, from ``state.records``.
        state: the decisions.
        given: given labels, by file.
    """
    kinds = Counter(_kind(record, state, given) for record in labels)
    return Counts(**{name: kinds[name] for name in Counts.__slots__})


def _kind(record: LabelRecord, state: State, given: Mapping[str, str]) -> str:
    if record.label and record.source in (CLUSTER, ASSIGNED):
        return record.source
    if record.file in state.images:
        return "image" if record.label else "no_class"
    if record.file in given:
        return "given"
    return "no_class" if record.note else "unnamed"


def to_check(state: State, files: Sequence[str], given: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the images that were named by their cluster: those of them that are a fair sample, and the others.

    All stand in one random order. The sample is how far a person has looked at every one of them: so it is random
    whatever was looked at elsewhere, and also when clusters are named after a part was checked.

    Args:
        state: the decisions.
        files: all images of the folder.
        given: given labels, by file.
    """
    clusters = state.clusters_of_files()
    named = [file for file in files if file not in given and (c := clusters.get(file)) and c.verdict == "named"]
    order = shuffled(named)
    first_unchecked = next((i for i, file in enumerate(order) if file not in state.images), len(order))
    return order[:first_unchecked], order[first_unchecked:]


def accuracy(state: State, files: Sequence[str], given: Mapping[str, str]) -> Accuracy | None:
    """Return how many labels by cluster are right; None as long as none was checked.

    Args:
        state: the decisions.
        files: all images of the folder.
        given: given labels, by file.
    """
    sample, others = to_check(state, files, given)
    if not sample:
        return None
    clusters = state.clusters_of_files()
    right = sum(clusters[file].label == state.images[file] for file in sample)
    if others:
        interval = stats.binomtest(right, len(sample)).proportion_ci(method="exact")
        low, high = float(interval.low), float(interval.high)
    else:  # all were looked at: nothing is left to chance
        low = high = right / len(sample)
    return Accuracy(checked=len(sample), right=right, low=low, high=high, in_all=len(sample) + len(others))


def accuracy_line(found: Accuracy | None, n_by_cluster: int) -> str:
    """Return the accuracy of the labels by cluster, in one sentence.

    Args:
        found: from ``accuracy``.
        n_by_cluster: images whose label is the name of their cluster.

    >>> accuracy_line(Accuracy(checked=20, right=19, low=0.751, high=0.9987, in_all=400), 380)
    '19 of 20 names by cluster, checked at random, are right: 95.0 %, probably between 75.1 and 99.8 %'
    """
    if found is None:
        if n_by_cluster:
            return "Accuracy is not known yet: check some images that were named by cluster"
        return "Accuracy is not known yet: name a cluster first"
    line = f"{found.right:,} of {found.checked:,} names by cluster, checked at random, are right"
    if found.checked == found.in_all:
        return f"All {found.checked:,} names by cluster were checked: {found.right:,} were right"
    span = f"probably between {_percent(found.low)} and {_percent(found.high)} %"
    return f"{line}: {_percent(found.share)} %, {span}"


def _percent(share: float) -> str:
    """Return a share in % with one decimal, rounded down, so that only certainty is shown as 100."""
    return f"{int(1000 * share + 1e-9) / 10:.1f}"


def advice(number: Counts, next_worth: float | None, found: Accuracy | None) -> str:
    """Return what to do next, in one or two sentences.

    Args:
        number: images by source.
        next_worth: images that the next cluster's name is expected to be worth; None if all clusters are decided.
        found: from ``accuracy``.
    """
    is_checked = found is not None and (found.checked >= _FEW_CHECKED or found.checked == found.in_all)
    left = f"start the next round with the {number.unnamed:,} images left, or stop: kmpl label assigns the rest"
    if next_worth is not None and next_worth >= _FEW_IMAGES:
        return f"Go on: the next key is worth about {round(next_worth):,} images"
    if number.cluster and not is_checked:
        n = min(_FEW_CHECKED - found.checked if found else _FEW_CHECKED, number.cluster)
        more = "more " if found else ""
        return f"A key is worth few images now: check {n} {more}images, so that the accuracy is known"
    if number.unnamed:
        return f"A key is worth few images now: {left}"
    return "Every image is named or set aside: write the labels"
