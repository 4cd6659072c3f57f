"""One record an image: what a file of labels says of it, whatever its format."""

from collections.abc import Iterable
from dataclasses import dataclass

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
    """What a person should know: why the label is doubtful, or why there is none."""


def class_names(records: Iterable[LabelRecord]) -> tuple[str, ...]:
    """Return the names of all classes, sorted."""
    return tuple(sorted({record.label for record in records if record.label}))
