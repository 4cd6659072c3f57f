"""What a labelling of new files begins with: what has changed in the folder, the table, and the given labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kmpl.datasets.image_files import given_labels, labels_file
from kmpl.datasets.new_files import FolderChanges, compare
from kmpl.errors import FileError
from kmpl.formats import kmpl_csv, writing
from kmpl.formats.appending import can_append
from kmpl.formats.given_labels import GivenLabels, Rules
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.jobs.known_folder import KnownFolder
from kmpl.jobs.label_files import Files
from kmpl.jobs.label_records import names_in_file, records_of_file
from kmpl.labelling.training_again import LaterLabels
from kmpl.runtime.output_paths import check_target


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The file of labels that new rows are added to, or a new one that takes all."""

    path: Path
    form: str
    """Name of its format."""
    records: Mapping[str, LabelRecord]
    """What stands in it, or in the labels that the runs wrote, by image."""
    spelt: Mapping[str, set[str]] = field(default_factory=dict)
    """How it spells the images that it names."""
    exists: bool = True

    @property
    def by_person(self) -> dict[str, str]:
        """Labels in it that a person gave or corrected, by image."""
        return {file: r.label for file, r in self.records.items() if r.label and r.source != ASSIGNED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A folder that was labelled, as it is now."""

    known: KnownFolder
    files: Mapping[str, str]
    """Digest of each file that is there, by name."""
    changes: FolderChanges
    table: Table
    given: Mapping[str, str]
    """Labels that people gave, by image; those of the table count, too."""
    by_cluster: frozenset[str]
    """Images of which a person named only the cluster."""
    learnt: frozenset[str]
    """Images whose given label the model learnt from."""
    left_out: Mapping[str, str]
    """Files that look like images and cannot be read, with the reason."""
    notes: tuple[str, ...]
    """What the user should know, a sentence each."""

    @property
    def later(self) -> LaterLabels:
        """Labels that the model does not know."""
        old = {*self.known.reference.seen.values()}
        files = [f for f in self.given if f in self.files and f not in self.learnt and f not in self.by_cluster]
        of_new = sum(self.files[file] not in old for file in files)
        classes = self.known.reference.about.classes
        unknown = [self.given[file] for file in files if self.given[file] not in classes]
        return LaterLabels(
            of_new=of_new,
            of_old=len(files) - of_new,
            unknown=tuple(sorted({*unknown})),
            n_unknown=len(unknown),
        )

    def label_rows(self) -> dict[str, LabelRecord]:
        """Return the rows of images that are not new, whose label a person gave elsewhere than in the table."""
        unseen = {*self.changes.unseen, *self.changes.moved}
        files = [f for f in self.given if f in self.files and f not in unseen and f not in self.table.by_person]
        return {file: self.given_row(file, self.table.records.get(file, LabelRecord(file=file))) for file in files}

    def given_row(self, file: str, record: LabelRecord) -> LabelRecord:
        """Return the row of an image with the label that a person gave it, or its cluster."""
        label = self.given[file]
        if file in self.by_cluster:
            return replace(record, file=file, label=label, source=CLUSTER, confidence=None, round=None, note="")
        return replace(record, file=file, label=label, source=GIVEN, confidence=1.0, round=0, note="")


def learnt_from(records: Iterable[LabelRecord]) -> frozenset[str]:
    """Return the images with a label that a person gave, if only as the name of their cluster.

    >>> sources = ("given", "cluster", "assigned")
    >>> sorted(learnt_from(LabelRecord(file=f"{source}.png", label="cat", source=source) for source in sources))
    ['cluster.png', 'given.png']
    """
    return frozenset(record.file for record in records if record.source in (GIVEN, CLUSTER))


def find(
    files: Files, out: Path | None, known: KnownFolder, now: Mapping[str, str], left_out: Mapping[str, str]
) -> Found:
    """Return the folder as it is now, beside what was labelled of it; nothing is changed.

    Args:
        files: input files; ``out`` is the table.
        out: the file of labels that was named; None: that which the run wrote is the table.
        known: the labelling that knows the folder.
        now: digest of each file that is there, by name.
        left_out: files that look like images and cannot be read, with the reason.

    Raises:
        UserError: the table is gone, or another folder's.
    """
    seen = known.reference.seen | known.since.seen
    every = sorted({*now, *seen})
    table = _table(files, out, known, every)
    given, notes = _given(files, known, table, every)
    by_person = table.by_person
    return Found(
        known=known,
        files=now,
        changes=compare(seen, now),
        table=table,
        given=given.labels | by_person,
        by_cluster=frozenset(f for f in given.by_cluster if f not in by_person)
        | frozenset(f for f, record in table.records.items() if f in by_person and record.source == CLUSTER),
        learnt=learnt_from(_kept(known.since.labels[:1]).values()),
        left_out=left_out,
        notes=(*known.notes, *notes),
    )


def _kept(paths: tuple[Path, ...]) -> dict[str, LabelRecord]:
    """Return the labels that runs wrote, by image; later ones count."""
    return {found.record.file: found.record for path in paths for found in kmpl_csv.read(path)}


def _table(files: Files, out: Path | None, known: KnownFolder, every: list[str]) -> Table:
    """Return the table of labels.

    Raises:
        UserError: it is missing, a folder, damaged, or of another folder.
    """
    path, form = files.out, files.format
    other = "name a new file with --out: it gets the labels of the run and the new ones"
    if not path.exists() and out is None:
        raise FileError(f"{path}: the labels that run {known.labelling.run} wrote are gone; {other}", path)
    if path.exists() and (path.is_dir() or not can_append(form)):
        what = "a folder" if path.is_dir() else f"of the format {form}, which kmpl only writes"
        raise FileError(f"--out {path}: is {what}, and no row can be added; {other}", path)
    check_target(path, "--out")
    if not path.exists():
        writing.check_place(path, files.folder, form)
        return Table(path=path, form=form, records=_kept(known.since.labels), exists=False)
    rules = Rules(rules_of(files, known).class_named, "assigned", None)
    records, _ = records_of_file(path, files.folder, every, rules)
    if not records:
        raise FileError(f"--out {path}: names no image of {files.folder}; {other}", path)
    spelt = names_in_file(path, files.folder, every, rules)
    return Table(path=path, form=form, records={record.file: record for record in records}, spelt=spelt)


def rules_of(files: Files, known: KnownFolder) -> Rules:
    """Return the rules of this call, and where it gives none those of the labelling."""
    source = known.reference.about.source
    trust = files.rules.trust or ("given" if source.trust == "given" else "assigned" if source.trust else None)
    return Rules(files.rules.class_named or source.class_named, trust, files.rules.format or source.format)


def _given(files: Files, known: KnownFolder, table: Table, every: list[str]) -> tuple[GivenLabels, tuple[str, ...]]:
    """Return the labels that people gave elsewhere than in the table, and notes on them.

    Raises:
        UserError: the file of given labels does not fit the folder.
    """
    old = known.reference.about.source.labels_file
    named = files.labels or (known.path_now(old) if old else None)
    if named is not None and not files.labels and not named.exists():
        note = f"{named}, which gave the labels, is gone: only labels in {table.path} count as given"
        return GivenLabels({}), (note,)
    rules = rules_of(files, known)
    if named is not None and named.resolve() == table.path.resolve():
        rules = replace(rules, trust="given")
    source = labels_file(files.folder, named)
    given = given_labels(files.folder, source, every, rules)
    labels = {file: label for file, label in given.labels.items() if file not in given.unreviewed}
    return replace(given, labels=labels), given.notes
