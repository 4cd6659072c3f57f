"""Label the new files of a folder by the model that is there, or find that there is none; its rows go to the table."""

import tempfile
from dataclasses import replace
from pathlib import Path

from kmpl import tracking
from kmpl.datasets.image_files import scan
from kmpl.images.reading import OnProgress
from kmpl.jobs import known_folder, new_files
from kmpl.jobs.label_files import Files
from kmpl.jobs.new_rows import Written, nothing_new, warn
from kmpl.jobs.table_lock import table_lock
from kmpl.runtime.files import digests_of
from kmpl.tracking.client import open_existing


def label(
    files: Files,
    out: Path | None,
    *,
    mlruns: Path,
    again: str,
    command: str = "",
    device: str = "auto",
    threads: int = 0,
    on_progress: OnProgress = lambda done, total: None,  # noqa: ARG005
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
        UserError: there is no such folder, labelling, model or table, or a file cannot be written or is being written.
    """
    client = open_existing(mlruns)
    now, left_out = _look(files.folder)
    with tempfile.TemporaryDirectory() as copies, tracking.store_answers():
        anew = out is not None and not out.exists()
        known = known_folder.find(client, files.folder, now, into=Path(copies), again=again, may_be_another=anew)
        form = files.out_format if out else known.reference.about.source.out_format
        files = replace(files, out=known.table(out), out_format=form)
        with table_lock(files.out, mlruns, command):
            found = new_files.find(files, out, known, now, left_out)
            if not found.changes.unseen and not found.changes.moved and not found.label_rows():
                warn(found, files.folder, {})
                return nothing_new(found, files)
            from kmpl.jobs.name_new_files import name_new_files  # with PyTorch, which takes seconds: only if needed
            from kmpl.runtime.devices import use_threads

            use_threads(threads)
            return name_new_files(
                client, found, files, mlruns=mlruns, command=command, device=device, on_progress=on_progress
            )


def _look(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digest of each image in a folder, by name, and why others are left out."""
    names, left_out = scan(folder)
    digests, unreadable = digests_of(folder, names)
    return digests, dict(sorted({**left_out, **unreadable}.items()))
