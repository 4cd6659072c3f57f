"""The label columns of a CSV: which cell of a row is its label, and whether a person or ``kmpl label`` wrote it."""

from dataclasses import dataclass
from enum import Enum, auto

from kmpl.errors import FileError
from kmpl.formats.class_names import normalise
from kmpl.formats.csv_rows import Row, Table
from kmpl.formats.given_labels import NameReader
from kmpl.formats.records import ASSIGNED, CLUSTER

LABEL = "label"
CHOICE = "choice"
"""The label in a CSV of Label Studio."""
SOURCE = "source"
"""Its cell is ``assigned`` where ``kmpl label`` assigned the label, ``cluster`` where a person named its cluster."""
BEFORE = "assigned"
"""Keeps the label of an image that nobody looked at, so that a later change of the label can be seen."""
ANNOTATION = "annotation_id"
"""A column that only Label Studio writes."""
_SEVERAL_CHOICES_START = '{"choices"'  # of the cell, if a person chose several classes in Label Studio


class Origin(Enum):
    """Who wrote a label."""

    PERSON = auto()
    """A person: no column says that kmpl assigned it."""
    ANNOTATED = auto()
    """A person, in Label Studio."""
    ADDED = auto()
    """A person, where kmpl had left the label empty."""
    CHANGED = auto()
    """A person, who replaced or removed the label that kmpl had assigned."""
    CLUSTER = auto()
    """A person, who named the image's whole cluster and did not look at the image."""
    ASSIGNED = auto()
    """kmpl; nobody changed it."""
    UNCERTAIN = auto()
    """kmpl assigned a label, but the file lacks the column ``assigned`` that would show whether it is this one."""


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a row."""

    name: str
    """Empty = no label."""
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Conflict:
    """A row in which two columns name different classes."""

    row: Row
    column: int
    """Index of the column that counts."""
    other: int
    """Index of the other column."""


class LabelColumns:
    """Reads the label of each row, and notes columns that disagree."""

    def __init__(self, table: Table, names: NameReader) -> None:
        self._table = table
        self._names = names
        labels = [column for column, name in enumerate(table.columns) if name == LABEL]
        choices = [column for column, name in enumerate(table.columns) if name == CHOICE]
        self.from_label_studio = ANNOTATION in table.columns
        """Label Studio wrote the table; then its column ``choice`` comes before ``label``."""
        self._columns = [*choices, *labels] if self.from_label_studio else labels
        self._further_columns = [] if self.from_label_studio else choices
        self._conflicts: list[_Conflict] = []

    @property
    def last(self) -> int:
        """Index of the column that a row must reach to have a label."""
        return min(self._columns)

    def read(self, row: Row) -> Label:
        """Return the label of a row.

        Raises:
            UserError: the row gives several classes.
        """
        columns = self._columns + self._further_columns
        texts = {column: row.cells[column] if column < len(row.cells) else "" for column in columns}
        for text in texts.values():
            if text.strip().startswith(_SEVERAL_CHOICES_START):
                raise FileError(
                    f"{self._table.path} line {row.line}: gives several classes, {text}; give one", self._table.path
                )
        meanings = {column: self._names.meaning(text) for column, text in texts.items()}
        column = next((column for column in self._columns if meanings[column]), self._columns[0])
        others = (c for c, name in meanings.items() if name and c != column and name != meanings[column])
        other = next(others, None)
        if other is not None:
            self._conflicts.append(_Conflict(row, column, other))
        return Label(self._names.read(texts[column]), self._origin(row, normalise(texts[column])))

    def _cell(self, row: Row, name: str) -> str | None:
        """Return the cell of a row in a column; None if the table has no such column."""
        if name not in self._table.columns:
            return None
        column = self._table.columns.index(name)
        return normalise(row.cells[column]) if column < len(row.cells) else ""

    def _origin(self, row: Row, label: str) -> Origin:
        source = self._cell(row, SOURCE)
        before = self._cell(row, BEFORE)
        if self._cell(row, ANNOTATION):
            return Origin.ANNOTATED
        if before and label != before:
            return Origin.CHANGED
        if label and source == CLUSTER:
            return Origin.CLUSTER
        if before:
            return Origin.ASSIGNED if source == ASSIGNED else Origin.PERSON  # a person confirms by clearing the source
        if source == ASSIGNED:
            return Origin.UNCERTAIN if label else Origin.CHANGED
        return Origin.ADDED if label and source == "" else Origin.PERSON

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence on columns that disagree, and which of them counts; empty if none do."""
        if not self._conflicts:
            return ()
        first = self._conflicts[0]
        columns = (first.column, first.other)
        counted, ignored = (f"{self._table.columns[c]} (column {c + 1})" for c in columns)
        texts = " and ".join(f"'{first.row.cells[c].strip()}'" for c in columns)
        rows = f"{len(self._conflicts):,} row{'s' if len(self._conflicts) > 1 else ''}"
        where = f"first in line {first.row.line}"
        return (f"{counted} and {ignored} disagree in {rows}, {where}: {texts}; {counted} counts",)
