"""Label the new files of a folder by the model that is there: rows for the table, and how unlike the old they are."""

import json
import tempfile
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kmpl import tracking
from kmpl.errors import LabelsWarning, LeftOutWarning
from kmpl.formats import kmpl_csv, writing
from kmpl.formats.appending import append
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.images.reading import OnProgress
from kmpl.jobs import new_files
from kmpl.jobs.label_files import Files
from kmpl.jobs.new_files import Found, Table
from kmpl.jobs.reading_warnings import MAX_NAMED_FILES
from kmpl.jobs.see_new_files import Seen, see_new_files
from kmpl.labelling import new_files_summary, reference
from kmpl.labelling.drift import NewImages, drift_of, look_at
from kmpl.labelling.label_table import UNLIKE
from kmpl.labelling.new_files_summary import NewFilesSummary
from kmpl.labelling.summary import abbreviate, folder_name
from kmpl.labelling.training_again import Check, worth
from kmpl.runtime.devices import use_threads
from kmpl.runtime.files import whole_file
from kmpl.tracking.client import open_existing
from kmpl.tracking.labelled_folders import SEEN
from kmpl.tracking.labelled_folders import find as find_labelled
from kmpl.tracking.labelling_runs import LabellingRun, labelling_run
from kmpl.training.watch import ignore


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What a labelling of new files did."""

    summary: NewFilesSummary
    rows: int
    """Rows that were added or replaced, or of a new table; 0: there was nothing to do, and nothing was written."""
    files: Files
    """With the table as ``out``."""
    run: str = ""
    """Id of its own run; empty if there is none."""


def label(
    files: Files,
    out: Path | None,
    *,
    mlruns: Path,
    again: str,
    command: str = "",
    device: str = "auto",
    threads: int = 0,
    on_progress: OnProgress = ignore,
) -> Written:
    """Label the new files of a folder, add them to the table of labels, and track the run.

    Args:
        files: input files; its ``out`` does not count.
        out: the table; None: that which the labelling wrote. A name of no file: all labels are written there.
        mlruns: folder of the tracked runs.
        again: the command that labels the whole folder, for messages.
        command: command line that started it.
        device: that computes.
        threads: of the CPU; 0 = one per core.
        on_progress: called with the number of new images so far and in all.

    Raises:
        UserError: no such folder or labelling, its model is gone, the table is missing, damaged or of another folder,
            or a file cannot be written.
    """
    client = open_existing(mlruns)
    use_threads(threads)
    with tempfile.TemporaryDirectory() as copies, tracking.store_answers():
        known = find_labelled(client, files.folder, reference=reference.FILE, into=Path(copies), again=again)
        found = new_files.find(files, out, known, reference.read(known.reference), mlruns=mlruns)
        files = replace(files, out=found.table.path)
        seen, left_out = see_new_files(found, files.folder, device, on_progress)
        found = replace(found, changes=found.changes.without(left_out))
        _warn(found, files.folder, left_out)
        if not seen.files and not found.changes.moved:
            rows = 0 if found.table.exists else _write_table(found.table, {}, files)
            return Written(summary=_summary(found, seen, None, {}), rows=rows, files=files)
        name = f"label {folder_name(files.folder)}, new files"
        run = labelling_run(
            client, name=name, folder=files.folder, locks=mlruns / "locks", command=command, model_of=known.run
        )
        return _tracked(run, found, seen, files)


def _tracked(run: AbstractContextManager[LabellingRun], found: Found, seen: Seen, files: Files) -> Written:
    """Write the new rows in a run of their own."""
    with run as tracked:
        written, texts = _written(found, seen, files)
        verdict = written.summary.verdict
        tracked.log_new_files(
            new_files_summary.metrics_of(written.summary),
            note=new_files_summary.note(written.summary),
            tags={"train_again": verdict.answer, "why": verdict.why},
            files=texts,
        )
    return replace(written, run=tracked.id)


def _warn(found: Found, root: Path, left_out: dict[str, str]) -> None:
    for message in found.notes:
        warnings.warn(f"{root}: {message}", LabelsWarning, stacklevel=3)
    if reasons := {**found.left_out, **left_out}:
        names = [f"{file} ({reason})" for file, reason in sorted(reasons.items())]
        count = "1 file cannot be read and is" if len(names) == 1 else f"{len(names):,} files cannot be read and are"
        warnings.warn(f"{root}: {count} left out: {abbreviate(names, MAX_NAMED_FILES)}", LeftOutWarning, stacklevel=3)


def _written(found: Found, seen: Seen, files: Files) -> tuple[Written, dict[str, str | bytes]]:
    """Write the new rows; return what was done, and the contents of the files of the run, by name."""
    new = look_at(found.reference, seen.features, seen.probabilities) if seen.files else None
    rows = _rows(found, seen.files, new)
    summary = _summary(found, seen, new, rows)
    text = json.dumps(new_files_summary.record(summary), indent=2, ensure_ascii=False) + "\n"
    done = [*seen.files, *found.changes.moved]
    texts: dict[str, str | bytes] = {
        "labels.csv": kmpl_csv.text(list(rows.values())),
        SEEN: json.dumps({file: found.files[file] for file in done}, indent=0) + "\n",
        "new-files.json": text,
    }
    _write_table(found.table, rows, files)
    with whole_file(files.new_files_file) as draft:
        draft.write_text(text, encoding="utf-8")
    return Written(summary=summary, rows=len(rows), files=files), texts


def _rows(found: Found, names: list[str], new: NewImages | None) -> dict[str, LabelRecord]:
    """Return the rows to write, by image; those that a person wrote into the table already are none of them."""
    about = found.reference.about
    by_person = found.table.by_person
    rows: dict[str, LabelRecord] = {}
    if new is not None:
        assigned = new.assigned(about.threshold)
        for i, file in enumerate(names):
            cluster = int(new.clusters[i]) if new.clusters[i] >= 0 else None
            confidence = round(float(new.confidence[i]), 4) if about.has_confidence else None
            if label := found.given.get(file, ""):
                rows[file] = LabelRecord(file=file, label=label, confidence=1.0, source=GIVEN, cluster=cluster, round=0)
            elif assigned[i]:
                label = about.classes[new.guesses[i]]
                rows[file] = LabelRecord(
                    file=file, label=label, confidence=confidence, source=ASSIGNED, cluster=cluster
                )
            else:
                unlike = UNLIKE if new.unlike is not None and new.unlike[i] else ""
                rows[file] = LabelRecord(file=file, confidence=confidence, cluster=cluster, note=unlike)
    for file, old in found.changes.moved.items():
        record = replace(found.table.records.get(old, LabelRecord(file=old)), file=file)
        label = found.given.get(file, "")
        rows[file] = replace(record, label=label, source=GIVEN, confidence=1.0, round=0) if label else record
    return {file: rows[file] for file in sorted(rows) if file not in by_person}


def _write_table(table: Table, rows: dict[str, LabelRecord], files: Files) -> int:
    """Write the rows, and all that runs wrote before if there is no table; return the number of rows written."""
    if table.exists:
        stale = {name for file in rows for name in table.spelt.get(file, ())}
        append(list(rows.values()), table.path, files.folder, table.form, instead_of=stale)
        return len(rows)
    there = {file: record for file, record in table.records.items() if (files.folder / file).is_file()} | rows
    writing.write([there[file] for file in sorted(there)], table.path, files.folder, table.form)
    return len(there)


def _summary(found: Found, seen: Seen, new: NewImages | None, rows: dict[str, LabelRecord]) -> NewFilesSummary:
    about = found.reference.about
    given = {file: found.given[file] for file in seen.files if file in found.given}
    labels = [(i, given[file]) for i, file in enumerate(seen.files) if file in given]
    unknown = sorted({label for _, label in labels if label not in about.classes})
    named = [about.classes[new.guesses[i]] == label for i, label in labels] if new is not None else []
    check = Check(
        right=sum(named),
        labels=len(labels),
        unknown=tuple(unknown),
        n_unknown=sum(label in unknown for _, label in labels),
    )
    drift = drift_of(found.reference, new) if new is not None else None
    more = sum(file in found.files and file not in found.learnt for file in found.given)
    assigned = [rows[file].confidence for file in seen.files if file in rows and rows[file].source == ASSIGNED]
    known = [confidence for confidence in assigned if confidence is not None]
    return NewFilesSummary(
        run=found.known.run,
        about=about,
        changes=found.changes,
        given=len(given),
        assigned=len(assigned),
        unsure=len(seen.files) - len(given) - len(assigned),
        expected=float(np.mean(known)) if known else float("nan"),
        drift=drift,
        check=check,
        verdict=worth(drift, check, promised=about.expected_of_all, given=about.given, more=more),
    )
