"""Name new files by the model of a labelling: see them, compare them with the old ones, write and track their rows."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np

from kmpl.formats import kmpl_csv
from kmpl.formats.records import ASSIGNED, LabelRecord
from kmpl.images.reading import OnProgress
from kmpl.jobs.label_files import Files
from kmpl.jobs.new_files import Found
from kmpl.jobs.new_rows import Written, nothing_new, warn, write_table
from kmpl.jobs.see_new_files import Seen, see_new_files
from kmpl.jobs.workspace import Workspace
from kmpl.labelling import new_files_summary
from kmpl.labelling.drift import NewImages, drift_of, look_at
from kmpl.labelling.label_table import UNLIKE
from kmpl.labelling.new_files_summary import NewFilesSummary
from kmpl.labelling.training_again import Check, worth
from kmpl.labelling.words import folder_name
from kmpl.models.model_file import TrainedModel, read_model
from kmpl.runtime.files import whole_file
from kmpl.tracking.client import Client
from kmpl.tracking.labelled_folders import SEEN
from kmpl.tracking.labelling_runs import LabellingRun, labelling_run
from kmpl.tracking.load_model import fetch_state
from kmpl.tracking.local_models import find_weights


def name_new_files(
    client: Client,
    found: Found,
    files: Files,
    *,
    mlruns: Path,
    command: str,
    device: str,
    on_progress: OnProgress,
) -> Written:
    """Name what is new in a folder; the arguments are those of ``kmpl.jobs.label_new_files.label``.

    Raises:
        UserError: the model is gone, or a file cannot be written.
    """
    left_out: dict[str, str] = {}
    seen = Seen.none()
    if found.changes.unseen:
        seen, left_out = see_new_files(found, _model(found, mlruns), files.folder, device, on_progress)
    found = replace(found, changes=found.changes.without(left_out))
    warn(found, files.folder, left_out)
    if not seen.files and not found.changes.moved and not found.label_rows():
        return nothing_new(found, files)
    run = labelling_run(
        client,
        name=f"label {folder_name(files.folder)}, new files",
        folder=files.folder,
        locks=Workspace(mlruns).locks,
        command=command,
        model_of=found.known.labelling.run,
    )
    return _tracked(run, found, seen, files)


def _model(found: Found, mlruns: Path) -> TrainedModel:
    run = found.known.labelling.run
    copies = found.known.labelling.reference.parent
    return read_model(find_weights(mlruns, run) or fetch_state(mlruns, run, copies))


def _tracked(run: AbstractContextManager[LabellingRun], found: Found, seen: Seen, files: Files) -> Written:
    """Write the new rows in a run of their own."""
    with run as tracked:
        written, texts = _written(found, seen, files)
        summary = written.summary
        unlike = summary.drift.reasons if summary.drift else []
        tracked.log_new_files(
            new_files_summary.metrics_of(summary),
            note=new_files_summary.note(summary),
            tags={"train_again": summary.verdict.answer, "why": summary.verdict.why, "unlike": "; ".join(unlike)},
            files=texts,
        )
    return replace(written, run=tracked.id)


def _written(found: Found, seen: Seen, files: Files) -> tuple[Written, dict[str, str | bytes]]:
    """Write the new rows; return what was done, and the contents of the files of the run, by name."""
    new = look_at(found.known.reference, seen.features, seen.probabilities) if seen.files else None
    rows = _rows(found, seen.files, new)
    summary = _summary(found, seen, new, rows)
    text = json.dumps(new_files_summary.record(summary), indent=2, ensure_ascii=False) + "\n"
    done = [*seen.files, *found.changes.moved]
    texts: dict[str, str | bytes] = {
        "labels.csv": kmpl_csv.text(list(rows.values())),
        SEEN: json.dumps({file: found.files[file] for file in done}, indent=0) + "\n",
        "new-files.json": text,
    }
    write_table(found.table, rows, files)
    with whole_file(files.new_files_file) as draft:
        draft.write_text(text, encoding="utf-8")
    return Written(summary=summary, rows=len(rows), files=files), texts


def _rows(found: Found, names: list[str], new: NewImages | None) -> dict[str, LabelRecord]:
    """Return the rows to write, by image; those that a person wrote into the table already are none of them."""
    by_person = found.table.by_person
    rows = found.label_rows() | (_new_rows(found, names, new) if new is not None else {})
    for file, old in found.changes.moved.items():
        record = replace(found.table.records.get(old, LabelRecord(file=old)), file=file)
        rows[file] = found.given_row(file, record) if file in found.given else record
    return {file: rows[file] for file in sorted(rows) if file not in by_person}


def _new_rows(found: Found, names: list[str], new: NewImages) -> dict[str, LabelRecord]:
    """Return the rows of new images: with the label that a person gave, one of the model, or none."""
    about = found.known.reference.about
    assigned = new.assigned(about.threshold)
    rows: dict[str, LabelRecord] = {}
    for i, file in enumerate(names):
        cluster = int(new.clusters[i]) if new.clusters[i] >= 0 else None
        confidence = round(float(new.confidence[i]), 4) if about.has_confidence else None
        row = LabelRecord(file=file, confidence=confidence, cluster=cluster)
        if file in found.given:
            rows[file] = found.given_row(file, row)
        elif assigned[i]:
            rows[file] = replace(row, label=about.classes[new.guesses[i]], source=ASSIGNED)
        else:
            rows[file] = replace(row, note=UNLIKE if new.unlike is not None and new.unlike[i] else "")
    return rows


def _summary(found: Found, seen: Seen, new: NewImages | None, rows: Mapping[str, LabelRecord]) -> NewFilesSummary:
    about = found.known.reference.about
    given = {i for i, file in enumerate(seen.files) if file in found.given}
    tested = [i for i in sorted(given) if seen.files[i] not in found.by_cluster]
    named = [about.classes[new.guesses[i]] == found.given[seen.files[i]] for i in tested] if new is not None else []
    check = Check(right=sum(named), labels=len(tested))
    drift = drift_of(found.known.reference, new) if new is not None else None
    assigned = [rows[file].confidence for file in seen.files if file in rows and rows[file].source == ASSIGNED]
    known = [confidence for confidence in assigned if confidence is not None]
    unlike = (drift.reasons if drift else []) or found.known.since.unlike
    return NewFilesSummary(
        run=found.known.labelling.run,
        about=about,
        changes=found.changes,
        given=len(given),
        assigned=len(assigned),
        unsure=len(seen.files) - len(given) - len(assigned),
        expected=float(np.mean(known)) if known else float("nan"),
        drift=drift,
        check=check,
        later=found.later,
        verdict=worth(
            unlike, check, found.later, promised=about.expected_of_all, given=about.given, new=bool(seen.files)
        ),
    )
