"""``kmpl label``: label a folder of images by a few that are labelled."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kmpl.commands.flags import flags_of
from kmpl.commands.folder_options import embed_from_options, file_progress, read_from_options, warnings_in_one_line
from kmpl.commands.label_files import LabelFiles
from kmpl.commands.label_new_files import label_new_files
from kmpl.commands.options import overrides_of
from kmpl.config.backbones import check_backbone, why_no_model
from kmpl.config.labelling import LabelOptions, check_choice
from kmpl.config.networks import NETWORKS
from kmpl.errors import look_up
from kmpl.formats.registry import FORMATS
from kmpl.formats.shard_files import folder_beside
from kmpl.formats.writing import remarks
from kmpl.runtime.output_paths import check_apart, free_name
from kmpl.runtime.typed_command import next_command, typed_command

if TYPE_CHECKING:
    from kmpl.jobs.label_files import Files
    from kmpl.labelling.label_table import LabelTable


_CORRECT = {
    "csv": "correct the column label of {}",
    "label-studio": "import {} into Label Studio, correct it there, export it as JSON to the same name",
}
"""What a person does next with the labels, by format."""


_NONE = LabelFiles()


def label(
    folder: Path,
    /,
    *,
    options: Annotated[LabelFiles, Parameter(name="*", negative_iterable="")] = _NONE,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Label a folder of images by a few that are labelled. Killed and run again, it goes on where it was.

    Args:
        folder: Folder of images (PNG, JPEG, BMP, TIFF, WebP, GIF), with or without sub-folders.
        options: The folder's labels, and the files to write.
        settings: Single settings; the others are chosen by the number of images and classes.
    """
    overrides = overrides_of(settings)
    if options.new_files:
        label_new_files(folder, options, overrides)
        return
    learning = _checked(folder, options, overrides)
    # Heavy modules are imported only now that the settings are valid.
    from kmpl.jobs import sharded_folder
    from kmpl.jobs.table_lock import table_lock

    console = Console(quiet=options.quiet)
    files = options.files(folder)
    in_shards = sharded_folder.wanted(folder, overrides)
    with table_lock(files.out, options.mlruns, typed_command()), warnings_in_one_line():
        if in_shards:
            labels, run_id = _label_in_shards(files, overrides, options.mlruns, console)
        else:
            labels, run_id = _label_at_once(files, learning.size, overrides, options.mlruns, console)
    flags = options.reading_flags() + flags_of(overrides)
    _print_labels(labels, console)
    if in_shards:
        console.print(f"Parquet, a file a shard: [bold]{escape(str(folder_beside(files.out)))}[/bold]", soft_wrap=True)
    _print_next_steps(files, labels, run_id, flags=flags, mlruns=options.mlruns, console=console)


def _label_at_once(
    files: "Files", size: int, overrides: dict[str, Any], mlruns: Path, console: Console
) -> tuple["LabelTable", str]:
    """Label a folder that fits into memory; return the labels and the run."""
    from kmpl.jobs import label_folder, progress_bars

    images = read_from_options(files, size, console)
    trainings = label_folder.trainings(images, overrides)  # what cannot be labelled is refused here
    images = embed_from_options(images, overrides, mlruns, console)
    with progress_bars.show_training(console, trainings) as watch:
        return label_folder.label(
            files,
            images,
            overrides,
            mlruns=mlruns,
            command=typed_command(),
            watch=watch,
            entering=partial(_print_part, console),
        )


def _label_in_shards(
    files: "Files", overrides: dict[str, Any], mlruns: Path, console: Console
) -> tuple["LabelTable", str]:
    """Label a folder that need not fit into memory, by features in shards; return the labels and the run."""
    from kmpl.jobs import label_sharded

    with file_progress(console, "embed images") as on_progress:
        return label_sharded.label(
            files,
            overrides,
            mlruns=mlruns,
            command=typed_command(),
            on_progress=on_progress,
            entering=partial(_print_part, console),
        )


def _print_part(console: Console, name: str) -> None:
    if name != "label":
        console.print(f"{name}:")


def _checked(folder: Path, options: LabelFiles, overrides: Mapping[str, Any]) -> LabelOptions:
    """Return the settings; refuse, before anything heavy is imported, what cannot be.

    Raises:
        UserError: in one line.
    """
    learning = LabelOptions.model_validate(dict(overrides))
    check_backbone(learning.backbone)
    check_choice(overrides)
    look_up(NETWORKS, learning.network, "network")
    options.check(folder)
    check_apart({"--labels": options.labels, "--out": options.out, "--gallery": options.gallery})
    return learning


def _print_labels(labels: "LabelTable", console: Console) -> None:
    """Print the expected accuracy, and a line per class."""
    from kmpl.labelling.summary import (
        check_line,
        class_summaries,
        early_line,
        remark_lines,
        summary_line,
        validation_line,
        warning_lines,
    )

    console.print(f"[bold]{escape(check_line(labels))}.[/bold]", highlight=False, soft_wrap=True)
    if labels.way:
        console.print(f"{escape(labels.way)}.", highlight=False, soft_wrap=True)
    for warning in warning_lines(labels):
        print(f"kmpl: {warning}", file=sys.stderr)
    grid = Table("class", box=None, pad_edge=False)
    for name in ("given", "assigned", "unsure", "confidence, median"):
        grid.add_column(name, justify="right")
    for line in class_summaries(labels):
        median = "–" if line.assigned == 0 else f"{line.median:.3f}"
        grid.add_row(escape(line.name), *(f"{n:,}" for n in (line.given, line.assigned, line.unsure)), median)
    console.print(grid)
    console.print(f"{summary_line(labels)}.", highlight=False, soft_wrap=True)
    console.print(f"{validation_line(labels)}.", highlight=False, soft_wrap=True)
    for remark in remark_lines(labels):
        console.print(f"{escape(remark)}.", highlight=False, soft_wrap=True)
    if early := early_line(labels):
        console.print(f"{early}.", highlight=False, soft_wrap=True)


def _print_next_steps(
    files: "Files", labels: "LabelTable", run_id: str, *, flags: list[str], mlruns: Path, console: Console
) -> None:
    """Print which files were written, and the next commands; ``flags`` are those that a next labelling takes, too."""
    written = escape(", ".join(str(path) for path in (files.out, files.check_file, files.gallery) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]", soft_wrap=True)
    if files.format != "csv":  # which holds whatever there is
        from kmpl.labelling.label_table import records_of

        for remark in remarks(records_of(labels), files.out, files.format):
            print(f"kmpl: {remark}", file=sys.stderr)
    look = f"look at {files.gallery}, " if files.gallery else ""
    if labels.assigned.any() and FORMATS[files.format].read is not None:
        task = f"{look}{_CORRECT.get(files.format, 'correct the labels in {}').format(files.out)}"
        again = ["label", str(files.folder), "--labels", str(files.out), "--out", str(free_name(files.out)), *flags]
    else:
        task = f"{look}label the images that help most"
        known = labels.folder.labels_file
        budget = min(20, int((~labels.given).sum()))
        again = ["suggest", str(files.folder), *(["--labels", str(known)] if known else []), "--budget", str(budget)]
        again += ["--out", str(free_name(Path("to_label.csv"))), "--sheet", str(free_name(Path("to_label.png")))]
    again_command = escape(next_command(*again, mlruns=mlruns))
    console.print(f"Next: {escape(task)}, then: [bold]{again_command}[/bold]", highlight=False, soft_wrap=True)
    if not labels.has_model:
        name = labels.folder.frozen.name if labels.folder.frozen else ""
        line = f"No model is left for kmpl predict and --new-files: {why_no_model(name)}"
        console.print(escape(line), highlight=False, soft_wrap=True)
        return
    command = escape(next_command("predict", "more-images", "--model", run_id, mlruns=mlruns))
    console.print(f"The model labels more: [bold]{command}[/bold]", soft_wrap=True)
    command = escape(next_command("label", str(files.folder), "--new-files", mlruns=mlruns))
    console.print(f"New pictures in the folder later: [bold]{command}[/bold]", soft_wrap=True)
