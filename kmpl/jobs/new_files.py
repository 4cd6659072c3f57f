"""What a labelling of new files begins with: the model that is there, what has changed, the table, the given labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kmpl.datasets.image_folder import given_labels, labels_file, scan
from kmpl.datasets.new_files import FolderChanges, compare, digests_of
from kmpl.errors import FileError
from kmpl.formats import kmpl_csv, writing
from kmpl.formats.appending import can_append
from kmpl.formats.given_labels import Rules
from kmpl.formats.records import ASSIGNED, CLUSTER, GIVEN, LabelRecord
from kmpl.jobs.label_files import Files
from kmpl.jobs.label_records import names_in_file, records_of_file
from kmpl.labelling.reference import Reference
from kmpl.models.model_file import TrainedModel, read_model
from kmpl.runtime.output_paths import check_target
from kmpl.tracking.labelled_folders import LabelledFolder
from kmpl.tracking.load_model import fetch_state
from kmpl.tracking.local_models import find_weights


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

    known: LabelledFolder
    reference: Reference
    model: TrainedModel
    files: Mapping[str, str]
    """Digest of each file that is there, by name."""
    changes: FolderChanges
    table: Table
    given: Mapping[str, str]
    """Labels that people gave, by image; those of the table count, too."""
    learnt: frozenset[str]
    """Images whose given label the model learnt from."""
    left_out: Mapping[str, str]
    """Files that look like images and cannot be read, with the reason."""
    notes: tuple[str, ...]
    """What the user should know, a sentence each."""


def learnt_from(records: Iterable[LabelRecord]) -> frozenset[str]:
    """Return the images with a label that a person gave, if only as the name of their cluster.

    >>> sources = ("given", "cluster", "assigned")
    >>> sorted(learnt_from(LabelRecord(file=f"{source}.png", label="cat", source=source) for source in sources))
    ['cluster.png', 'given.png']
    """
    return frozenset(record.file for record in records if record.source in (GIVEN, CLUSTER))


def find(files: Files, out: Path | None, known: LabelledFolder, reference: Reference, *, mlruns: Path) -> Found:
    """Return the folder as it is now, beside what was labelled of it; nothing is changed.

    Args:
        files: input files; ``out`` does not count.
        out: the file of labels to add to, or a new one; None: that which the run wrote.
        known: what MLflow knows of the folder.
        reference: what the labelling kept.
        mlruns: folder of the tracked runs.

    Raises:
        UserError: the model or the table is gone, or the table is another folder's.
    """
    root = files.folder
    names, left_out = scan(root)
    now, unreadable = digests_of(root, names)
    seen = reference.seen | known.seen
    every = sorted({*now, *seen})
    learnt = learnt_from(_kept(known.labels[:1]).values())
    table = _table(files, out, known, reference, every)
    given, notes = _given(files, reference, table, every)
    if known.newer:
        notes = (f"the newer run {known.newer} left no model, so that of run {known.run} labels", *notes)
    return Found(
        known=known,
        reference=reference,
        model=_model(known.run, mlruns, known.reference.parent),
        files=now,
        changes=compare(seen, now),
        table=table,
        given=given,
        learnt=learnt,
        left_out=dict(sorted({**left_out, **unreadable}.items())),
        notes=notes,
    )


def _model(run: str, mlruns: Path, copies: Path) -> TrainedModel:
    return read_model(find_weights(mlruns, run) or fetch_state(mlruns, run, copies))


def _kept(paths: tuple[Path, ...]) -> dict[str, LabelRecord]:
    """Return the labels that runs wrote, by image; later ones count."""
    return {found.record.file: found.record for path in paths for found in kmpl_csv.read(path)}


def _table(files: Files, out: Path | None, known: LabelledFolder, reference: Reference, every: list[str]) -> Table:
    """Return the table of labels.

    Raises:
        UserError: it is missing, a folder, damaged, or of another folder.
    """
    source = reference.about.source
    path = out or Path(source.out)
    form = writing.name_for(path, files.out_format if out else source.out_format)
    other = "name a new file with --out: it gets the labels of the run and the new ones"
    if not path.exists() and out is None:
        raise FileError(f"{path}: the labels that run {known.run} wrote are gone; {other}", path)
    if path.exists() and (path.is_dir() or not can_append(form)):
        what = "a folder" if path.is_dir() else f"of the format {form}, which kmpl only writes"
        raise FileError(f"--out {path}: is {what}, and no row can be added; {other}", path)
    check_target(path, "--out")
    if not path.exists():
        writing.check_place(path, files.folder, form)
        return Table(path=path, form=form, records=_kept(known.labels), exists=False)
    rules = Rules(_rules(files, reference).class_named, "assigned", None)
    records, _ = records_of_file(path, files.folder, every, rules)
    if not records:
        raise FileError(f"--out {path}: names no image of {files.folder}; {other}", path)
    spelt = names_in_file(path, files.folder, every, rules)
    return Table(path=path, form=form, records={record.file: record for record in records}, spelt=spelt)


def _rules(files: Files, reference: Reference) -> Rules:
    """Return the rules of this call, and where it gives none those of the labelling."""
    source = reference.about.source
    trust = files.rules.trust or ("given" if source.trust == "given" else "assigned" if source.trust else None)
    return Rules(files.rules.class_named or source.class_named, trust, files.rules.format or source.format)


def _given(
    files: Files, reference: Reference, table: Table, every: list[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the labels that people gave, and notes on them; those of the table, which may be corrected, come first.

    Raises:
        UserError: the file of given labels does not fit the folder.
    """
    old = reference.about.source.labels_file
    named = files.labels or (Path(old) if old else None)
    if named is not None and not files.labels and not named.exists():
        note = f"{named}, which gave the labels, is gone: only labels in {table.path} count as given"
        return table.by_person, (note,)
    rules = _rules(files, reference)
    if named is not None and named.resolve() == table.path.resolve():
        rules = replace(rules, trust="given")
    source = labels_file(files.folder, named)
    given = given_labels(files.folder, source, every, rules)
    labels = {file: label for file, label in given.labels.items() if file not in given.unreviewed}
    return labels | table.by_person, given.notes
