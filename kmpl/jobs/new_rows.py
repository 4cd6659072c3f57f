"""What a labelling of new files did: its rows in the table, and what there is to say where nothing is new."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kmpl.errors import LabelsWarning, LeftOutWarning
from kmpl.formats import writing
from kmpl.formats.appending import append
from kmpl.formats.records import LabelRecord
from kmpl.jobs.label_files import Files
from kmpl.jobs.new_files import Found, Table
from kmpl.jobs.reading_warnings import MAX_NAMED_FILES
from kmpl.labelling.new_files_summary import NewFilesSummary
from kmpl.labelling.training_again import Check, worth
from kmpl.labelling.words import abbreviate


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


def warn(found: Found, root: Path, left_out: Mapping[str, str]) -> None:
    """Warn of what the user should know, and of files that cannot be read; ``left_out`` are further ones."""
    for message in found.notes:
        warnings.warn(f"{root}: {message}", LabelsWarning, stacklevel=3)
    if reasons := {**found.left_out, **left_out}:
        names = [f"{file} ({reason})" for file, reason in sorted(reasons.items())]
        count = "1 file cannot be read and is" if len(names) == 1 else f"{len(names):,} files cannot be read and are"
        warnings.warn(f"{root}: {count} left out: {abbreviate(names, MAX_NAMED_FILES)}", LeftOutWarning, stacklevel=3)


def nothing_new(found: Found, files: Files) -> Written:
    """Return what there is to say where nothing is new; a table that is gone is written again."""
    about = found.known.reference.about
    none = Check(right=0, labels=0)
    unlike = found.known.since.unlike
    summary = NewFilesSummary(
        run=found.known.labelling.run,
        about=about,
        changes=found.changes,
        given=0,
        assigned=0,
        unsure=0,
        expected=float("nan"),
        drift=None,
        check=none,
        later=found.later,
        verdict=worth(unlike, none, found.later, promised=None, given=about.given, new=False),
    )
    rows = 0 if found.table.exists else write_table(found.table, {}, files)
    return Written(summary=summary, rows=rows, files=files)


def write_table(table: Table, rows: Mapping[str, LabelRecord], files: Files) -> int:
    """Write the rows, and all that runs wrote before if there is no table; return the number of rows written."""
    if table.exists:
        stale = {name for file in rows for name in table.spelt.get(file, ())}
        append(list(rows.values()), table.path, files.folder, table.form, instead_of=stale)
        return len(rows)
    there = {file: record for file, record in table.records.items() if (files.folder / file).is_file()} | dict(rows)
    writing.write([there[file] for file in sorted(there)], table.path, files.folder, table.form)
    return len(there)
