"""Whether labels that ``kmpl label`` assigned count as given labels when a person hands their CSV back.

If a person worked on the file, all its labels count, and a note gives the number of labels that are still kmpl's own.
If nobody did, the file is refused: a method trained on its own guesses grows more confident, but not more accurate.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.given_labels import Rules
from kmpl.formats.label_columns import Label, Origin


@dataclass(frozen=True, slots=True)
class LabelRow:
    """An entry of a file of labels that names an image."""

    where: str
    """Where it stands, for messages: ``line 3``."""
    file: str
    """Path of the image in the folder."""
    label: Label

    @property
    def assigned(self) -> bool:
        """Whether kmpl assigned the label and, as far as the file shows, nobody changed it."""
        return bool(self.label.name) and self.label.origin in (Origin.ASSIGNED, Origin.UNCERTAIN)

    @property
    def by_cluster(self) -> bool:
        """Whether a person named the image's whole cluster, and nobody looked at the image since."""
        return bool(self.label.name) and self.label.origin is Origin.CLUSTER


def counted_rows(
    path: Path, rows: Iterable[LabelRow], *, from_label_studio: bool, rules: Rules
) -> tuple[list[LabelRow], tuple[str, ...]]:
    """Return the rows whose labels count as given, and notes on the other rows.

    For an image with both, a person's row wins over a row that kmpl assigned.

    Args:
        path: the file of labels.
        rows: all rows that name an image.
        from_label_studio: Label Studio wrote the file: there, a person's labels are annotations.
        rules: ``rules.trust`` decides, if it is set.

    Raises:
        UserError: the file has labels that kmpl assigned, and none by a person.
    """
    rows = list(rows)
    personal = [row for row in rows if not row.assigned]
    personal_files = {row.file for row in personal if row.label.name}
    assigned = [row for row in rows if row.assigned and row.file not in personal_files]
    if not assigned or rules.trust == "assigned":
        return personal + assigned, ()
    total = len(personal_files) + len(assigned)
    share = f"{len(assigned):,} of {total:,} labels are kmpl's own (source=assigned)"
    uncertain = any(row.label.origin is Origin.UNCERTAIN for row in assigned)
    doubt = "; the column assigned is missing, so a change by hand cannot be seen" if uncertain else ""
    if rules.trust == "given":
        return personal, (f"{share} and do not count{doubt}",) if doubt else ()
    origins = Counter(row.label.origin for row in personal)
    changed = origins[Origin.CHANGED]
    added = origins[Origin.ADDED]
    if from_label_studio and origins[Origin.ANNOTATED]:
        note = f"{share} and nobody annotated them, so they do not count; --trust assigned counts them"
        return personal, (note,)
    if changed or added:
        work = f"{changed:,} changed and {added:,} added by hand"
        note = f"{share} and count as given, too, because of {work}; --trust given leaves them out"
        return personal + assigned, (note,)
    raise FileError(
        f"{path}: {share}, and none was changed or added by hand{doubt}; to count them as given say --trust assigned "
        "(or clear the column source), to leave them out --trust given",
        path,
    )
