"""``kmpl label``: label a folder of images by a few that are labelled."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kmpl.commands.folder_options import ClassNamed, Trust, read_from_options, warnings_in_one_line
from kmpl.commands.options import Folder, given
from kmpl.config.labelling import LabelOptions

if TYPE_CHECKING:
    from kmpl.jobs.label_folder import Files
    from kmpl.labelling.label_table import LabelTable


def label(
    folder: Path,
    /,
    *,
    out: Path,
    labels: Path | None = None,
    gallery: Path | None = None,
    class_named: ClassNamed = (),
    trust: Trust = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    mlruns: Folder = Path("mlruns"),
    quiet: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Label a folder of images by a few that are labelled. Killed and run again, it goes on where it was.

    Args:
        folder: Folder of images (PNG, JPEG, BMP, TIFF, WebP, GIF), with or without sub-folders.
        out: CSV to write: file, label (empty where unsure), confidence, cluster, round, source (given, assigned), and
            what was assigned. What is expected of the labels stands beside it, in NAME.check.json.
        labels: CSV of the given labels, columns file and label; then sub-folders are only places. Without it:
            labels.csv in the folder, or else the names of sub-folders.
        gallery: HTML page to write, to look at the result.
        class_named: A name that is a class here, though elsewhere it says that there is no label (nan, None, ?) or
            means a part of a data set (train, test). May be given more than once.
        trust: What counts of the labels that kmpl assigned, in a CSV of its own that is given back as --labels:
            assigned (all of them), given (only what a person gave, changed or added). Without it, all of them if a
            person changed or added some, which is said; else the CSV is refused.
        overwrite: Replace files that exist.
        mlruns: Folder of the tracked runs and of the store of finished steps.
        quiet: Print nothing but warnings and errors.
        settings: Single settings; the others are chosen by the number of images and classes.
    """
    chosen = given(settings)
    size = LabelOptions.model_validate(chosen).size
    # What is heavy is imported only now that the settings are known to be right.
    from kmpl.formats.given_labels import Rules
    from kmpl.jobs import label_folder, progress_bars

    rules = Rules(class_named, trust)
    console, files = Console(quiet=quiet), label_folder.Files(folder, out, labels, gallery, overwrite, rules)
    with warnings_in_one_line():
        found = read_from_options(files, size, console)
        command = shlex.join(["kmpl", *sys.argv[1:]])
        with progress_bars.show_training(console) as watch:
            part = lambda name: None if name == "label" else console.print(f"{name}:")  # noqa: E731
            done, run = label_folder.label(
                files, found, chosen, mlruns=mlruns, command=command, watch=watch, entering=part
            )
    _show(done, files, run, mlruns, console)


def _show(done: "LabelTable", files: "Files", run: str, mlruns: Path, console: Console) -> None:
    """Print what is expected, a line per class, and where the results are."""
    from kmpl.labelling.summary import check_line, class_summaries, summary_line, validation_line, warning_lines

    console.print(f"[bold]{escape(check_line(done))}.[/bold]", highlight=False, soft_wrap=True)
    for warning in warning_lines(done):
        print(f"kmpl: {warning}", file=sys.stderr)
    grid = Table("class", box=None, pad_edge=False)
    for name in ("given", "assigned", "unsure", "confidence, median"):
        grid.add_column(name, justify="right")
    for line in class_summaries(done):
        median = "–" if line.assigned == 0 else f"{line.median:.3f}"
        grid.add_row(escape(line.name), *(f"{n:,}" for n in (line.given, line.assigned, line.unsure)), median)
    console.print(grid)
    console.print(f"{summary_line(done)}.", highlight=False)
    console.print(f"{validation_line(done)}.", highlight=False)
    written = escape(", ".join(str(path) for path in (files.out, files.check_file, files.gallery) if path is not None))
    runs = [] if mlruns == Path("mlruns") else ["--mlruns", str(mlruns)]
    where = escape(shlex.join(["kmpl", "predict", "more-images", "--model", run, *runs]))
    console.print(f"Written: [bold]{written}[/bold]; the model labels more: [bold]{where}[/bold]", soft_wrap=True)
