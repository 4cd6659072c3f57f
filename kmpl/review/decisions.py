"""What a person decides on the review page: the rows of the journal, one a key press."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Row(BaseModel):
    """A row of the journal; images are named by their paths relative to the folder, with ``/``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RoundStarted(Row):
    """The images without a label were clustered; the clusters get the next free numbers, in this order."""

    kind: Literal["round"] = "round"
    clusters: tuple[tuple[str, ...], ...]


class ClusterNamed(Row):
    """All members of a cluster get a label; members with a label of their own keep it."""

    kind: Literal["name"] = "name"
    cluster: int
    label: str = Field(min_length=1)


class ClusterMarked(Row):
    """A cluster gets no name: it is mixed (clustered again in the next round), or its images are of no class."""

    kind: Literal["mark"] = "mark"
    cluster: int
    verdict: Literal["mixed", "none"]


class ClusterSplit(Row):
    """A cluster is replaced by its parts, which get the next free numbers."""

    kind: Literal["split"] = "split"
    cluster: int
    parts: tuple[tuple[str, ...], ...] = Field(min_length=2)


class ImagesNamed(Row):
    """Single images get a label, whatever their cluster and their given label; empty = of no class."""

    kind: Literal["image"] = "image"
    files: tuple[str, ...] = Field(min_length=1)
    label: str


class Undo(Row):
    """The last decision that still counts does not count."""

    kind: Literal["undo"] = "undo"


class Written(Row):
    """A file of labels was written; no decision, so it is never undone."""

    kind: Literal["written"] = "written"
    file: str
    digest: str
    """SHA-256 of its bytes."""


Decision = RoundStarted | ClusterNamed | ClusterMarked | ClusterSplit | ImagesNamed
_ROWS: TypeAdapter[Any] = TypeAdapter(Annotated[Decision | Undo | Written, Field(discriminator="kind")])


def parse(text: str | bytes) -> Decision | Undo | Written:
    """Return the row that a line of the journal holds.

    Raises:
        ValueError: the line is damaged, or not of this version.
    """
    row: Decision | Undo | Written = _ROWS.validate_json(text)
    return row
