"""``kmpl label --new-files``: the new files of a folder that was labelled, by the model that is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

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
    _print(written, options.mlruns, console)


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


def _print(written: "Written", mlruns: Path, console: Console) -> None:
    from kmpl.labelling.new_files_summary import lines, nothing_line, verdict_line

    summary = written.summary
    if not written.run:
        table = f"{written.files.out} ({written.rows:,} rows)" if written.rows else "nothing"
        for line in (nothing_line(summary), verdict_line(summary.verdict), f"Written: {table}"):
            console.print(f"{escape(line)}.", highlight=False, soft_wrap=True)
        return
    for line in lines(summary):
        console.print(f"{escape(line)}.", highlight=False, soft_wrap=True)
    files = written.files
    rows = f"{written.rows:,} row{'' if written.rows == 1 else 's'}"
    names = escape(f"{files.out} ({rows} of new files), {files.new_files_file}")
    console.print(f"Written: [bold]{names}[/bold]", highlight=False, soft_wrap=True)
    if summary.verdict.answer == "no":
        return
    known = ["--labels", str(files.out), "--trust", "given"]
    if summary.verdict.answer == "yes":
        words = ["label", str(files.folder), *known, "--out", str(free_name(files.out))]
    else:
        words = ["suggest", str(files.folder), *known, "--budget", "20", "--out", str(free_name(Path("to_label.csv")))]
    command = escape(next_command(*words, mlruns=mlruns))
    console.print(f"Next: [bold]{command}[/bold]", highlight=False, soft_wrap=True)
