"""What the page shows of a review, as JSON takes it."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from kmpl.datasets.types import UNLABELLED
from kmpl.formats.records import GIVEN
from kmpl.review import order, worth
from kmpl.review.decisions import ClusterMarked, ClusterNamed, ClusterSplit, Decision, ImagesNamed
from kmpl.review.session import Review
from kmpl.review.snapshot import Snapshot
from kmpl.review.state import Cluster
from kmpl.runtime.output_paths import free_name

KEYS = "1234567890abcdefghijklopqtyz"
"""Keys of the classes; the other letters do something else. Further classes have no key: their names are typed."""
Order = Literal["doubt", "check", "suspects"]


def summary(review: Review) -> dict[str, Any]:
    """Return the state of a review: counts, accuracy, classes, clusters, and which of them comes next."""
    with review.lock:
        review.refresh()
        snapshot = review.snapshot()
        clusters = [_about_cluster(review, snapshot, cluster) for cluster in review.state.current()]
        clusters = [cluster for cluster in clusters if cluster["size"]]
        waiting = [cluster for cluster in clusters if cluster["verdict"] == "open" and cluster["unnamed"]]
        waiting.sort(key=lambda cluster: -cluster["worth"])  # the largest worth first, so that keystrokes pay
        number = worth.counts(snapshot.labels, review.state, review.given)
        found = review.accuracy()
        return {
            "folder": review.images.root.resolve().name,
            "version": review.version,
            "read_only": review.journal.read_only,
            "busy": review.busy,
            "round": review.state.round,
            "n_images": len(review.images.files),
            "n_left": len(review.unnamed()),
            "classes": _classes(snapshot),
            "counts": {name: getattr(number, name) for name in worth.Counts.__slots__},
            "accuracy": worth.accuracy_line(found, number.cluster),
            "advice": worth.advice(number, waiting[0]["worth"] if waiting else None, found),
            "clusters": clusters,
            "queue": [cluster["number"] for cluster in waiting],
            "undo": _described(review.last_decision),
            "out": str(review.target.path),
            "free_name": free_name(review.target.path).name,
            "is_written": review.is_written(),
        }


def _classes(snapshot: Snapshot) -> list[dict[str, Any]]:
    sizes = np.bincount(snapshot.numbers[snapshot.numbers >= 0], minlength=len(snapshot.classes))
    keys = keys_of(snapshot.classes)
    return [{"name": name, "key": keys[name], "size": int(size)} for name, size in zip(keys, sizes, strict=True)]


def keys_of(classes: Sequence[str]) -> dict[str, str]:
    """Return the key of each class: its own name where that is a key, else the next one; empty when all are given.

    >>> keys_of(["0", "1", "cat", "dog"])
    {'0': '0', '1': '1', 'cat': '2', 'dog': '3'}
    """
    free = [key for key in KEYS if key not in classes]
    return {name: name if len(name) == 1 and name in KEYS else free.pop(0) if free else "" for name in classes}


def _about_cluster(review: Review, snapshot: Snapshot, cluster: Cluster) -> dict[str, Any]:
    members = review.members(cluster)
    unnamed = sum(not snapshot.labels[i].label and not snapshot.labels[i].note for i in members)
    guess, share = _guess(snapshot, members)
    return {
        "number": cluster.number,
        "round": cluster.round,
        "size": len(members),
        "unnamed": unnamed,
        "verdict": cluster.verdict,
        "label": cluster.label,
        "guess": guess if share > 0.5 else "",
        "share": round(share, 3),
        "worth": round(unnamed * review.purity(cluster), 2),
    }


def _guess(snapshot: Snapshot, members: np.ndarray) -> tuple[str, float]:
    """Return what a cluster is probably called, and the share of its members' votes for that."""
    said = snapshot.votes
    own = snapshot.numbers[members]
    classes = np.where(own != UNLABELLED, own, said.classes[members])
    weights = np.where(own != UNLABELLED, 1.0, said.shares[members])
    if not (classes != UNLABELLED).any():
        return "", 0.0
    totals = np.bincount(classes[classes != UNLABELLED], weights=weights[classes != UNLABELLED])
    best = int(totals.argmax())
    return snapshot.classes[best], float(totals[best] / len(members))


def cluster_members(review: Review, number: int) -> dict[str, Any]:
    """Return a cluster with its members, the nearest to their mean first.

    Raises:
        DecisionError: there is no such cluster, or it is one no more.
    """
    with review.lock:
        snapshot = review.snapshot()
        cluster = review.state.cluster(number)
        members = review.members(cluster)
        images = _images(review, snapshot, members)
        return _about_cluster(review, snapshot, cluster) | {"images": images}


def images_in_order(review: Review, by: Order) -> dict[str, Any]:
    """Return images for a person to look at one by one.

    Args:
        review: the review.
        by: doubt (those with a label that nobody looked at, the most doubtful first), check (those named by their
            cluster, in random order) or suspects (given labels that look like another class).
    """
    with review.lock:
        snapshot = review.snapshot()
        if by == "check":
            _, others = worth.to_check(review.state, review.images.files, review.given)
            return {"images": _images(review, snapshot, [review.index[file] for file in others])}
        files = review.images.files
        by_doubt = order.by_doubt(snapshot.votes, snapshot.numbers)
        ranking = [int(i) for i in by_doubt if files[i] not in review.state.images]
        if by == "suspects":
            suspicious = order.suspicious(snapshot.votes, snapshot.numbers)
            ranking = [i for i in ranking if suspicious[i] and snapshot.labels[i].source == GIVEN]
        return {"images": _images(review, snapshot, ranking)}


def _images(review: Review, snapshot: Snapshot, indices: Iterable[Any]) -> list[dict[str, Any]]:
    said = snapshot.votes
    suspicious = order.suspicious(said, snapshot.numbers)
    images = []
    for i in map(int, indices):
        record = snapshot.labels[i]
        looks_like = snapshot.classes[said.classes[i]] if said.classes[i] != UNLABELLED else ""
        images.append(
            {
                "i": i,
                "file": record.file,
                "label": record.label,
                "source": "image" if record.file in review.state.images else record.source,
                "note": record.note,
                "looks_like": looks_like if suspicious[i] or not record.label else "",
            }
        )
    return images


def _described(decision: Decision | None) -> str:
    """Return what a decision was, for the button that takes it back; empty if there is none."""
    match decision:
        case ClusterNamed():
            return f"cluster {decision.cluster}: {decision.label}"
        case ClusterMarked():
            return f"cluster {decision.cluster}: {'mixed' if decision.verdict == 'mixed' else 'none of these'}"
        case ClusterSplit():
            return f"cluster {decision.cluster}: split"
        case ImagesNamed():
            images = decision.files[0] if len(decision.files) == 1 else f"{len(decision.files):,} images"
            return f"{images}: {decision.label or 'none of these'}"
        case None:
            return ""
    return "next round"
