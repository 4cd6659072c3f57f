"""Whether labels that ``kmpl label`` assigned count as given when their CSV is given back.

What a person hands over is a label: where somebody worked on the file, all of it counts, and it is said how many labels
are still kmpl's own. Where nobody did, the file is refused: a method that is trained on its own guesses only grows
surer of them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.given_labels import Rules
from kmpl.formats.label_columns import Label, Origin


@dataclass(frozen=True)
class Named:
    """A row that names an image."""

    line: int
    file: str
    """As the folder calls it."""
    label: Label

    @property
    def assigned(self) -> bool:
        """Whether its label is kmpl's own, as far as the file tells."""
        return bool(self.label.name) and self.label.origin in (Origin.ASSIGNED, Origin.UNCERTAIN)


def settle(path: Path, rows: Iterable[Named], exported: bool, rules: Rules) -> tuple[list[Named], tuple[str, ...]]:
    """Return the rows that count, and what is to be said of the others.

    A person's row for an image always wins over one that kmpl assigned.

    Args:
        path: the CSV.
        rows: all that name an image.
        exported: whether Label Studio wrote the file: then a person's labels are annotations there.
        rules: what was said about it.

    Raises:
        UserError: it is kmpl's own, and nobody has worked on it.
    """
    rows = list(rows)
    theirs = [row for row in rows if not row.assigned]
    files = {row.file for row in theirs if row.label.name}
    own = [row for row in rows if row.assigned and row.file not in files]
    if not own or rules.trust == "assigned":
        return theirs + own, ()
    what = f"{len(own):,} of {len(files) + len(own):,} labels are kmpl's own (source=assigned)"
    unsure = any(row.label.origin is Origin.UNCERTAIN for row in own)
    blind = "; whether somebody changed one cannot be told, for the column assigned is missing" if unsure else ""
    if rules.trust == "given":
        return theirs, (f"{what} and do not count{blind}",) if blind else ()
    work = Counter(row.label.origin for row in theirs)
    changed, added = work[Origin.CHANGED], work[Origin.ADDED]
    if exported and work[Origin.ANNOTATED]:
        return theirs, (f"{what} and nobody annotated them, so they do not count; --trust assigned counts them",)
    if changed or added:
        done = f"{changed:,} changed and {added:,} added by hand"
        return theirs + own, (f"{what} and count as given, too, because of {done}; --trust given leaves them out",)
    raise FileError(
        f"{path}: {what}, and none was changed or added by hand{blind}; to count them as given say --trust assigned "
        "(or clear the column source), to leave them out --trust given",
        path,
    )
