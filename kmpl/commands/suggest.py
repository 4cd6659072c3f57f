"""``kmpl suggest``: which images of a folder to label next."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from kmpl.formats.writing import check_place, check_suggestions, name_for
from kmpl.runtime.output_paths import check_apart, check_target, free_name
from kmpl.runtime.typed_command import next_command

if TYPE_CHECKING:
    from kmpl.jobs.label_files import Files
    from kmpl.jobs.suggest_folder import SuggestedImages

_TASKS = {"label-studio": "import {} into Label Studio, annotate it there, export it as JSON to the same name"}
"""What a person does next with the suggestions, by format."""


class SuggestFiles(FolderOptions):
    """How many images to suggest, and the files to write."""

    budget: int
    """How many images you will label."""
    out: Path
    """File to write: these images, the most useful first, without labels: .csv, .parquet, .json (Label Studio) or
    metadata.jsonl (Hugging Face)."""
    out_format: str | None = None
    """Format of --out, if its name does not tell it."""
    sheet: Path | None = None
    """Picture (PNG) to write: these images, numbered by their rank."""


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
    form = name_for(options.out, options.out_format)
    check_suggestions(options.out, form)
    check_place(options.out, folder, form)
    options.check(folder)
    if sheet is not None:
        check_target(sheet, "--sheet", options.overwrite)
        if sheet.suffix.lower() != ".png":
            raise FileError(f"--sheet {sheet}: is a PNG; name it {sheet.with_suffix('.png')}", sheet)
    overrides = overrides_of(settings)
    learning = LabelOptions.model_validate(overrides)
    check_backbone(learning.backbone)
    from kmpl.jobs import sharded_folder, suggest_folder

    console = Console(quiet=options.quiet)
    with warnings_in_one_line():
        if sharded_folder.wanted(folder, overrides):
            suggestions = _suggest_in_shards(options.files(folder), options, overrides, console)
        else:
            files = replace(options.files(folder), out_format=form)
            suggestions = _suggest_at_once(files, options, learning, overrides, console)
        suggest_folder.write(suggestions, options.out, sheet, form)
    console.print(f"{suggest_folder.summary_line(suggestions)}.", highlight=False, soft_wrap=True)
    written = escape(" and ".join(str(path) for path in (options.out, sheet) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]", soft_wrap=True)
    is_labelled = bool(suggestions.images.classes)
    console.print(_next_step(folder, options, overrides, form, labelled=is_labelled), soft_wrap=True)


def _suggest_at_once(
    files: "Files", options: SuggestFiles, learning: LabelOptions, overrides: dict[str, Any], console: Console
) -> "SuggestedImages":
    """Choose among the images of a folder that fits into memory."""
    from kmpl.jobs import folder_images, progress_bars, suggest_folder, whole_job
    from kmpl.jobs.workspace import Workspace

    images = read_from_options(files, learning.size, console)
    chosen = folder_images.settings_for(images, overrides)
    images = embed_from_options(images, chosen, options.mlruns, console)
    with progress_bars.show_training(console, whole_job.of_pretext(learning, len(images.files))) as watch:
        store = Workspace(options.mlruns).store
        return suggest_folder.choose(images, options.budget, overrides=chosen, store=store, watch=watch)


def _suggest_in_shards(
    files: "Files", options: SuggestFiles, overrides: dict[str, Any], console: Console
) -> "SuggestedImages":
    """Choose among the images of a folder that need not fit into memory, by features in shards."""
    from kmpl.jobs import suggest_sharded
    from kmpl.jobs.workspace import Workspace

    workspace = Workspace(options.mlruns)
    with file_progress(console, "embed images") as on_progress:
        return suggest_sharded.choose(files, options.budget, overrides, workspace=workspace, on_progress=on_progress)


def _next_step(folder: Path, options: SuggestFiles, settings: dict[str, Any], form: str, *, labelled: bool) -> str:
    """Return the next step for a person, and the command that labels the folder after it, with the same settings."""
    from kmpl.datasets.image_files import labels_file

    labels = labels_file(folder, options.labels)
    task = _TASKS.get(form, "fill in the column label of {}").format(options.out)
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
