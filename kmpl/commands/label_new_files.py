"""``kmpl label --new-files``: the new files of a folder that was labelled, by the model that is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from kmpl.commands.flags import flags_of
from kmpl.commands.folder_options import file_progress, warnings_in_one_line
from kmpl.commands.label_files import LabelFiles
from kmpl.config.labelling import LabelOptions, check_new_files
from kmpl.errors import UserError, look_up
from kmpl.formats.registry import FORMATS
from kmpl.runtime.input_paths import check_folder, check_labels
from kmpl.runtime.output_paths import free_name
from kmpl.runtime.typed_command import next_command, typed_command

if TYPE_CHECKING:
    from kmpl.jobs.label_new_files import Written


def label_new_files(folder: Path, options: LabelFiles, overrides: Mapping[str, Any]) -> None:
    """Label what is new in a folder, and print what was found.

    Args:
        folder: of the images.
        options: files and flags.
        overrides: given settings, as a tree of ``LabelOptions``.

    Raises:
        UserError: in one line.
    """
    learning = LabelOptions.model_validate(dict(overrides))
    _check(folder, options, overrides)
    # Heavy modules are imported only now that the settings are valid.
    from kmpl.jobs import label_new_files as job

    console = Console(quiet=options.quiet)
    out = options.out if options.out_is_named else None
    labels = [] if options.labels is None else ["--labels", str(options.labels)]
    anew = ["label", str(folder), *labels, "--out", str(free_name(out or Path("pseudo_labels.csv")))]
    with warnings_in_one_line(), file_progress(console, "read new images") as on_progress:
        written = job.label(
            options.files(folder),
            out,
            mlruns=options.mlruns,
            again=next_command(*anew, mlruns=options.mlruns),
            command=typed_command(),
            device=learning.device,
            threads=learning.threads,
            on_progress=on_progress,
        )
    _print(written, options, console)


def _check(folder: Path, options: LabelFiles, overrides: Mapping[str, Any]) -> None:
    """Refuse, before anything heavy is imported, what the model that is there cannot honour.

    Raises:
        UserError: in one line.
    """
    check_new_files(overrides)
    if options.gallery is not None:
        raise UserError("--gallery: shows a whole labelling; leave it out with --new-files")
    check_folder(folder)
    check_labels(options.labels)
    for name in (options.format, options.out_format):
        if name is not None:
            look_up(FORMATS, name, "format")


def _print(written: "Written", options: LabelFiles, console: Console) -> None:
    from kmpl.labelling.new_files_summary import lines

    for line in lines(written.summary):
        console.print(f"{escape(line)}.", highlight=False, soft_wrap=True)
    files = written.files
    rows = f"{written.rows:,} row{'' if written.rows == 1 else 's'}"
    done = f"{files.out} ({rows})" + (f", {files.new_files_file}" if written.run else "") if written.rows else "nothing"
    console.print(f"Written: [bold]{escape(done)}[/bold]", highlight=False, soft_wrap=True)
    if step := _next_step(written, options):
        console.print(f"Next{escape(step)}", highlight=False, soft_wrap=True)


def _next_step(written: "Written", options: LabelFiles) -> str:
    """Return the command that comes next, behind what it is for; empty where there is none."""
    summary, files = written.summary, written.files
    source = summary.about.source
    same = [f"--class-named={name}" for name in options.class_named or source.class_named] + flags_of(source.settings)
    if FORMATS[files.format].read is not None:  # it has the labels of all files of labels, the folder's own have not
        known = ["--labels", str(files.out), "--trust", "given"]
    else:
        known = ["--labels", str(options.labels or source.labels_file)] if options.labels or source.labels_file else []
    learn = next_command(
        *("label", str(files.folder), *known, "--out", str(free_name(files.out)), *same), mlruns=options.mlruns
    )
    if summary.verdict.answer == "yes":
        return f": {learn}"
    if summary.verdict.answer == "label first":
        to_label = str(free_name(Path("to_label.csv")))
        words = ["suggest", str(files.folder), *known, "--budget", "20", "--out", to_label, *same]
        return f": {next_command(*words, mlruns=options.mlruns)}"
    return f", to learn from the later labels all the same: {learn}" if summary.later.all else ""
