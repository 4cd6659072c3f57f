"""From rows that name images to given labels: images that are missing, images with two labels, labels of kmpl's own."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.given_labels import GivenLabels, NameReader, Rules
from kmpl.formats.image_names import ImageNames
from kmpl.formats.label_columns import Label, Origin
from kmpl.formats.label_origins import LabelRow, counted_rows
from kmpl.formats.records import ASSIGNED, CLUSTER, LabelRecord

_MAX_NAMES_LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLabel:
    """What one entry of a file of labels says."""

    where: str
    """Where it stands, for messages: ``line 3``, ``task 12``."""
    record: LabelRecord
    """Its file is named as the tool names it."""
    is_stem: bool = False
    """The name lacks its suffix."""
    is_annotation: bool = False
    """A person gave the label in a labelling tool."""
    assigned: str | None = None
    """The label that kmpl had assigned, empty if it had assigned none; None where the file does not say."""


@dataclass(slots=True)
class MissingImages:
    """Entries that name no image of the folder."""

    path: Path
    root: Path
    entries: list[tuple[str, str]] = field(default_factory=list)
    """Where each stands, and the name."""

    def refuse(self) -> None:
        """Raise an error if there are any.

        Raises:
            UserError: in one line.
        """
        if self.entries:
            where, name = self.entries[0]
            others = f" (and {len(self.entries) - 1} more)" if len(self.entries) > 1 else ""
            problem = f"{self.root} has no image {name}{others}; give paths relative to {self.root}, or remove the "
            problem += "row of an image that is gone"
            raise FileError(f"{self.path} {where}: {problem}", self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that names the first of them; empty if there are none."""
        if not self.entries:
            return ()
        count = "1 entry names" if len(self.entries) == 1 else f"{len(self.entries):,} entries name"
        names = ", ".join(name for _, name in self.entries[:_MAX_NAMES_LISTED])
        return (f"{count} no image of {self.root} and {'is' if len(self.entries) == 1 else 'are'} left out: {names}",)


def labels_of_found(
    path: Path, found: Iterable[FoundLabel], *, root: Path, files: Iterable[str], rules: Rules, from_tool: bool
) -> GivenLabels:
    """Return the given labels of a file in a tool's format.

    Args:
        path: the file.
        found: its entries.
        root: the folder of the images.
        files: all images of the folder, relative to ``root``, with ``/``.
        rules: the user's decisions on ambiguous names and labels.
        from_tool: a labelling tool wrote the file: entries of other folders are left out with a note, and so are images
            about which annotators disagree.

    Raises:
        UserError: no entry names an image of the folder; or an error of ``labels_of_rows``.
    """
    names = NameReader(rules)
    images = ImageNames(root, files)
    rows: list[LabelRow] = []
    missing = MissingImages(path, root)
    for entry in found:
        try:
            name = entry.record.file
            file = images.find_stem(name) if entry.is_stem else images.find(name)
        except ValueError as error:
            if not from_tool:
                raise FileError(f"{path} {entry.where}: {error}", path) from error
            file, name = None, str(error)
        if file is None:
            missing.entries.append((entry.where, name))
        else:
            rows.append(LabelRow(entry.where, file, Label(names.read(entry.record.label), _origin(entry))))
    if not (from_tool and rows):
        missing.refuse()
    return labels_of_rows(path, rows, names=names, notes=missing.notes, rules=rules, from_tool=from_tool)


def _origin(entry: FoundLabel) -> Origin:
    if entry.is_annotation:
        return Origin.ANNOTATED
    if entry.assigned and entry.assigned != entry.record.label:
        return Origin.CHANGED
    if entry.record.label and entry.record.source == CLUSTER:
        return Origin.CLUSTER
    if entry.assigned == "" and entry.record.label and not entry.record.source:
        return Origin.ADDED
    return Origin.ASSIGNED if entry.record.source == ASSIGNED else Origin.PERSON


def labels_of_rows(
    path: Path,
    rows: Sequence[LabelRow],
    *,
    names: NameReader,
    notes: tuple[str, ...],
    rules: Rules,
    from_tool: bool,
) -> GivenLabels:
    """Return the labels of the rows that count.

    Args:
        path: the file of labels.
        rows: all rows that name an image.
        names: what read their class names.
        notes: what is known of the file so far, a sentence each.
        rules: the user's decisions.
        from_tool: a labelling tool wrote the file.

    Raises:
        UserError: a file with two labels, unless annotators of a tool disagree; or an error of ``counted_rows``.
    """
    counted, notes_on_origins = counted_rows(path, rows, from_label_studio=from_tool, rules=rules)
    row_of: dict[str, LabelRow] = {}
    disputed: dict[str, set[str]] = defaultdict(set)
    for row in counted:
        if not row.label.name or (first := row_of.setdefault(row.file, row)).label.name == row.label.name:
            continue
        if not from_tool:
            raise FileError(
                f"{path} {row.where}: {row.file} is '{row.label.name}' here and '{first.label.name}' in {first.where}; "
                "give each file one label",
                path,
            )
        disputed[row.file] |= {first.label.name, row.label.name}
    labels = {file: row.label.name for file, row in row_of.items() if file not in disputed}
    unreviewed = frozenset(file for file in labels if row_of[file].assigned)
    by_cluster = frozenset(file for file in labels if row_of[file].by_cluster)
    notes = (*notes, *notes_on_origins, *_disputes(disputed))
    return replace(names.given_labels(labels, "row", notes), unreviewed=unreviewed, by_cluster=by_cluster)


def _disputes(disputed: dict[str, set[str]]) -> tuple[str, ...]:
    """Return a sentence that names the first images about which annotators disagree; empty if there are none."""
    if not disputed:
        return ()
    first = sorted(disputed.items())[:_MAX_NAMES_LISTED]
    texts = [f"{file} ({' or '.join(sorted(labels))})" for file, labels in first]
    count = "1 image has" if len(disputed) == 1 else f"{len(disputed):,} images have"
    return (f"{count} annotations that differ and so no label: {', '.join(texts)}; decide there, and export again",)
