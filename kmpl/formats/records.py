"""One record an image: what a file of labels says of it, whatever its format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GIVEN = "given"
"""Source: a person gave the label."""
ASSIGNED = "assigned"
"""Source: ``kmpl label`` assigned the label."""
CLUSTER = "cluster"
"""Source: a person named the image's whole cluster, and nobody looked at the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecord:
    """What is known of the label of one image."""

    file: str
    """Path relative to the folder, with ``/``."""
    label: str = ""
    """Class name; empty = no label."""
    confidence: float | None = None
    """Probability that the label is right, in [0, 1]; None = not known."""
    source: str = ""
    """Who gave the label: ``given``, ``assigned`` or ``cluster``; empty where there is no label."""
    cluster: int | None = None
    """Number of the image's K-means cluster."""
    round: int | None = None
    """Round that first assigned the label; 0 = given."""
    note: str = ""
    """What a person should know: why the label is doubtful, why there is none, or why it is asked for."""
    rank: int | None = None
    """Place among the images that a person should label next; 1 = the most useful."""


def assigned_label(record: LabelRecord) -> str:
    """Return the label if nobody looked at the image; written beside the label, it shows a later change by a person."""
    return record.label if record.source in (ASSIGNED, CLUSTER) else ""


def class_names(records: Iterable[LabelRecord]) -> tuple[str, ...]:
    """Return the names of all classes, sorted."""
    return tuple(sorted({record.label for record in records if record.label}))


def record_of(row: Mapping[str, Any], file: str) -> LabelRecord:
    """Return a row of a table as a record; a label may be a number, or absent.

    Args:
        row: values by name of their column; others than a record's do not matter.
        file: path of the image.
    """
    label = row.get("label")
    confidence = row.get("confidence")
    numbers = {name: row[name] for name in ("cluster", "round", "rank") if type(row.get(name)) is int}
    return LabelRecord(
        file=file,
        label="" if label is None else str(label),
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
        source=str(row.get("source") or ""),
        note=str(row.get("note") or ""),
        **numbers,
    )
