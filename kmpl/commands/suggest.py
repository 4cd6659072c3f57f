"""``kmpl suggest``: which images of a folder to label next."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from kmpl.commands.folder_options import FolderOptions, read_from_options, warnings_in_one_line
from kmpl.commands.options import given
from kmpl.config.labelling import LabelOptions
from kmpl.runtime.output_paths import check_apart, check_target


class SuggestFiles(FolderOptions):
    """How many images are asked for, and what is written."""

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
    """Say which images of a folder to label next: typical ones of what has no label yet, then the least certain.

    Args:
        folder: Folder of images, with or without sub-folders, with or without labels.
        options: How many images are asked for, and what is written.
        settings: Single settings of labelling, the same as for `kmpl label`.
    """
    out, sheet = options.out, options.sheet
    check_apart({"--out": out, "--labels": options.labels, "--sheet": sheet})
    if sheet is not None:
        check_target(sheet, "--sheet", options.overwrite)
    chosen = given(settings)
    size = LabelOptions.model_validate(chosen).size
    from kmpl.jobs import progress_bars, suggest_folder
    from kmpl.jobs.workspace import Workspace

    console, files = Console(quiet=options.quiet), options.files(folder)
    with warnings_in_one_line():
        found = read_from_options(files, size, console)
        with progress_bars.show_training(console) as watch:
            store = Workspace(options.mlruns).store
            best = suggest_folder.choose(found, options.budget, overrides=chosen, store=store, watch=watch)
        suggest_folder.write(best, out, sheet)
    console.print(f"{suggest_folder.summary_line(best)}.", highlight=False, soft_wrap=True)
    written = escape(" and ".join(str(path) for path in (out, sheet) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]; fill in the column label", soft_wrap=True)
