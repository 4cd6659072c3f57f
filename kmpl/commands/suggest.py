"""``kmpl suggest``: which images of a folder to label next."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from kmpl.commands.flags import flags_of
from kmpl.commands.folder_options import (
    FolderOptions,
    embed_from_options,
    file_progress,
    read_from_options,
    warnings_in_one_line,
)
from kmpl.commands.options import overrides_of
from kmpl.config.backbones import check_backbone
from kmpl.config.labelling import LabelOptions
from kmpl.errors import FileError, UserError
from kmpl.runtime.output_paths import check_apart, check_target, free_name
from kmpl.runtime.typed_command import next_command


class SuggestFiles(FolderOptions):
    """How many images to suggest, and the files to write."""

    budget: int
    """How many images you will label."""
    out: Path
    """CSV to write: these images, the most useful first, with an empty column for their labels."""
    sheet: Path | None = None
    """Picture (PNG) to write: these images, numbered as in the CSV."""


def suggest(
    folder: Path,
    /,
    *,
    options: Annotated[SuggestFiles, Parameter(name="*", negative_iterable="")],
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Say which images of a folder to label next: typical ones first, then, once there are labels, the least certain.

    Args:
        folder: Folder of images, with or without sub-folders, with or without labels.
        options: How many images to suggest, and the files to write.
        settings: Single settings of labelling, the same as for `kmpl label`.
    """
    sheet = options.sheet
    check_apart({"--out": options.out, "--labels": options.labels, "--sheet": sheet})
    if options.budget < 1:
        raise UserError(f"--budget {options.budget}: give at least 1")
    options.check(folder)
    if sheet is not None:
        check_target(sheet, "--sheet", options.overwrite)
        if sheet.suffix.lower() != ".png":
            raise FileError(f"--sheet {sheet}: is a PNG; name it {sheet.with_suffix('.png')}", sheet)
    overrides = overrides_of(settings)
    learning = LabelOptions.model_validate(overrides)
    check_backbone(learning.backbone)
    from kmpl.jobs import folder_images, progress_bars, sharded_folder, suggest_folder, suggest_sharded, whole_job
    from kmpl.jobs.workspace import Workspace

    console = Console(quiet=options.quiet)
    workspace = Workspace(options.mlruns)
    with warnings_in_one_line():
        if sharded_folder.wanted(folder, overrides):
            with file_progress(console, "embed images") as on_progress:
                suggestions = suggest_sharded.choose(
                    options.files(folder), options.budget, overrides, workspace=workspace, on_progress=on_progress
                )
        else:
            images = read_from_options(options.files(folder), learning.size, console)
            chosen = folder_images.settings_for(images, overrides)
            images = embed_from_options(images, chosen, options.mlruns, console)
            with progress_bars.show_training(console, whole_job.of_pretext(learning, len(images.files))) as watch:
                suggestions = suggest_folder.choose(
                    images, options.budget, overrides=chosen, store=workspace.store, watch=watch
                )
        suggest_folder.write(suggestions, options.out, sheet)
    console.print(f"{suggest_folder.summary_line(suggestions)}.", highlight=False, soft_wrap=True)
    written = escape(" and ".join(str(path) for path in (options.out, sheet) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]", soft_wrap=True)
    console.print(_next_step(folder, options, overrides, labelled=bool(suggestions.images.classes)), soft_wrap=True)


def _next_step(folder: Path, options: SuggestFiles, settings: dict[str, Any], *, labelled: bool) -> str:
    """Return the next step for a person, and the command that labels the folder after it, with the same settings."""
    from kmpl.datasets.image_files import labels_file

    labels = labels_file(folder, options.labels)
    task = f"fill in the column label of {options.out}"
    if labels is not None:
        task += f" and add its files and labels to {labels}"
    elif labelled:
        task = "move these images into the sub-folders of their classes"
    arguments = [str(folder)]
    if labels is not None or not labelled:
        arguments += ["--labels", str(labels or options.out)]
        arguments += ["--trust", options.trust] if labels and options.trust else []
    arguments += ["--out", str(free_name(Path("pseudo_labels.csv"))), *options.reading_flags(), *flags_of(settings)]
    command = next_command("label", *arguments, mlruns=options.mlruns)
    return f"Next: {escape(task)}, then: [bold]{escape(command)}[/bold]"
