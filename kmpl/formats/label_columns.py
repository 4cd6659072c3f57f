"""Which cell of a row is its label, and who wrote it: a person, or ``kmpl label``."""

from dataclasses import dataclass
from enum import Enum, auto

from kmpl.errors import FileError
from kmpl.formats.class_names import tidy
from kmpl.formats.csv_rows import Row, Table
from kmpl.formats.given_labels import Names

LABEL, CHOICE, SOURCE, ASSIGNED = "label", "choice", "source", "assigned"
"""``source`` is ``assigned`` where ``kmpl label`` assigned the label; the column ``assigned`` keeps what that was, so
that it can be told from what a person made of it."""
_ANNOTATION = "annotation_id"  # in what Label Studio writes, and ``choice`` is then what a person chose there
_SEVERAL = '{"choices"'  # its cell where a person chose more than one


class Origin(Enum):
    """Who says a label."""

    PERSON = auto()
    """Nothing says that it was assigned."""
    ANNOTATED = auto()
    """A person, in Label Studio."""
    ADDED = auto()
    """A person, where kmpl had left it empty."""
    CHANGED = auto()
    """A person, where kmpl had assigned another; also where there is none any more."""
    ASSIGNED = auto()
    """kmpl, and it is as it was."""
    UNCERTAIN = auto()
    """kmpl assigned one; whether it is this one cannot be told, for the file does not keep it."""


@dataclass(frozen=True)
class Label:
    """What a row says."""

    name: str
    """Empty: nothing."""
    origin: Origin


class LabelColumns:
    """Reads the label of each row, and notes where two columns disagree."""

    def __init__(self, table: Table, names: Names) -> None:
        self._table, self._names = table, names
        labels = [place for place, name in enumerate(table.columns) if name == LABEL]
        choices = [place for place, name in enumerate(table.columns) if name == CHOICE]
        self.exported = _ANNOTATION in table.columns
        """Whether Label Studio wrote the table."""
        self._counts = [*choices, *labels] if self.exported else labels
        self._others = [] if self.exported else choices
        self._apart: list[tuple[Row, int, int]] = []

    def read(self, row: Row) -> Label:
        """Return what a row says.

        Raises:
            UserError: several classes.
        """
        texts = {place: row.cells[place] if place < len(row.cells) else "" for place in self._counts + self._others}
        for text in texts.values():
            if text.strip().startswith(_SEVERAL):
                raise FileError(
                    f"{self._table.path} line {row.line}: gives several classes, {text}; give one", self._table.path
                )
        meant = {place: self._names.meaning(text) for place, text in texts.items()}
        place = next((place for place in self._counts if meant[place]), self._counts[0])
        other = next((p for p, name in meant.items() if name and p != place and name != meant[place]), None)
        if other is not None:
            self._apart.append((row, place, other))
        return Label(self._names.read(texts[place]), self._origin(row, tidy(texts[place])))

    def _cell(self, row: Row, name: str) -> str | None:
        """Return what a row has in a column, None where there is no such column."""
        if name not in self._table.columns:
            return None
        place = self._table.columns.index(name)
        return tidy(row.cells[place]) if place < len(row.cells) else ""

    def _origin(self, row: Row, said: str) -> Origin:
        source, before = self._cell(row, SOURCE), self._cell(row, ASSIGNED)
        if self._cell(row, _ANNOTATION):
            return Origin.ANNOTATED
        if before:
            if said != before:
                return Origin.CHANGED
            return Origin.ASSIGNED if source == ASSIGNED else Origin.PERSON  # who clears the source says: it is mine
        if source == ASSIGNED:
            return Origin.UNCERTAIN if said else Origin.CHANGED
        return Origin.ADDED if said and source == "" else Origin.PERSON

    @property
    def notes(self) -> tuple[str, ...]:
        """Where columns disagree, and which counts."""
        if not self._apart:
            return ()
        row, place, other = self._apart[0]
        one, two = (f"{self._table.columns[p]} (column {p + 1})" for p in (place, other))
        texts = " and ".join(f"'{row.cells[p].strip()}'" for p in (place, other))
        rows = f"{len(self._apart):,} row{'s' if len(self._apart) > 1 else ''}"
        return (f"{one} and {two} disagree in {rows}, first in line {row.line}: {texts}; {one} counts",)
