"""``kmpl suggest``: which images of a folder to label next."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from kmpl.commands.folder_options import ClassNamed, Trust, read_from_options, warnings_in_one_line
from kmpl.commands.options import Folder, given
from kmpl.config.labelling import LabelOptions
from kmpl.runtime.output_paths import check_apart, check_target


def suggest(
    folder: Path,
    /,
    *,
    budget: int,
    out: Path,
    labels: Path | None = None,
    sheet: Path | None = None,
    class_named: ClassNamed = (),
    trust: Trust = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    mlruns: Folder = Path("mlruns"),
    quiet: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Say which images of a folder to label next: typical ones of what has no label yet, then the least certain.

    Args:
        folder: Folder of images, with or without sub-folders, with or without labels.
        budget: How many images you will label.
        out: CSV to write: these images, the most useful first, with an empty column for their labels.
        labels: CSV of the given labels, columns file and label; without it: labels.csv in the folder, or else the
            names of sub-folders.
        sheet: Picture (PNG) to write: these images, numbered as in the CSV.
        class_named: A name that is a class here, see `kmpl label`.
        trust: What counts of the labels that kmpl assigned, see `kmpl label`.
        overwrite: Replace files that exist.
        mlruns: Folder of the store of finished steps.
        quiet: Print nothing but warnings and errors.
        settings: Single settings of labelling, the same as for `kmpl label`.
    """
    check_apart({"--out": out, "--labels": labels, "--sheet": sheet})
    if sheet is not None:
        check_target(sheet, "--sheet", overwrite)
    chosen = given(settings)
    size = LabelOptions.model_validate(chosen).size
    from kmpl.formats.given_labels import Rules
    from kmpl.jobs import label_folder, progress_bars, suggest_folder
    from kmpl.jobs.workspace import Workspace

    rules = Rules(class_named, trust)
    console, files = Console(quiet=quiet), label_folder.Files(folder, out, labels, None, overwrite, rules)
    with warnings_in_one_line():
        found = read_from_options(files, size, console)
        with progress_bars.shown(console) as watch:
            store = Workspace(mlruns).store
            best = suggest_folder.choose(found, budget, chosen, store, watch)
        suggest_folder.write(best, out, sheet)
    console.print(f"{suggest_folder.summary_line(best)}.", highlight=False, soft_wrap=True)
    written = escape(" and ".join(str(path) for path in (out, sheet) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]; fill in the column label", soft_wrap=True)
