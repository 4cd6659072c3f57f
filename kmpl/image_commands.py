"""What the commands for a folder of your own images do."""

import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kmpl.commands import Folder, given
from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning
from kmpl.label_config import LabelOptions
from kmpl.targets import check_apart, check_target

if TYPE_CHECKING:
    from kmpl.datasets.folder import FolderImages
    from kmpl.label_files import Files
    from kmpl.labelled import Labelled

ClassNamed = Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)]
Trust = Literal["assigned", "given"] | None


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
    from kmpl import bars, label_files
    from kmpl.datasets.given import Rules

    rules = Rules(class_named, trust)
    console, files = Console(quiet=quiet), label_files.Files(folder, out, labels, gallery, overwrite, rules)
    with _warnings_in_one_line():
        found = _read(files, size, console)
        command = shlex.join(["kmpl", *sys.argv[1:]])
        with bars.shown(console) as watch:
            part = lambda name: None if name == "label" else console.print(f"{name}:")  # noqa: E731
            done, run = label_files.label(files, found, chosen, mlruns, command, watch, part)
    _show(done, files, run, mlruns, console)


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
    from kmpl import bars, label_files, suggest_files
    from kmpl.cells import Place
    from kmpl.datasets.given import Rules

    rules = Rules(class_named, trust)
    console, files = Console(quiet=quiet), label_files.Files(folder, out, labels, None, overwrite, rules)
    with _warnings_in_one_line():
        found = _read(files, size, console)
        with bars.shown(console) as watch:
            store = Place(mlruns).store
            best = suggest_files.choose(found, budget, chosen, store, watch)
        suggest_files.write(best, out, sheet)
    console.print(f"{suggest_files.summary_line(best)}.", highlight=False, soft_wrap=True)
    written = escape(" and ".join(str(path) for path in (out, sheet) if path is not None))
    console.print(f"Written: [bold]{written}[/bold]; fill in the column label", soft_wrap=True)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print each warning as a line of ours."""
    with warnings.catch_warnings():
        for ours in (LeftOutWarning, LabelsWarning, ReadingWarning):
            warnings.simplefilter("always", ours)
        warnings.showwarning = lambda message, *_: print(f"kmpl: {message}", file=sys.stderr)
        yield


def _read(files: "Files", size: int, console: Console) -> "FolderImages":
    """Read the images under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from kmpl import label_files

    if not console.is_terminal:
        return label_files.read(files, size)
    columns = (TextColumn("read images"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("read", total=None)
        return label_files.read(files, size, lambda n, total: bar.update(task, completed=n, total=total))


def _show(done: "Labelled", files: "Files", run: str, mlruns: Path, console: Console) -> None:
    """Print what is expected, a line per class, and where the results are."""
    from kmpl.labelled import summary
    from kmpl.labelling import check_line, hidden_line, summary_line, warnings_of

    console.print(f"[bold]{escape(check_line(done))}.[/bold]", highlight=False, soft_wrap=True)
    for warning in warnings_of(done):
        print(f"kmpl: {warning}", file=sys.stderr)
    grid = Table("class", box=None, pad_edge=False)
    for name in ("given", "assigned", "unsure", "confidence, median"):
        grid.add_column(name, justify="right")
    for line in summary(done):
        median = "–" if line.assigned == 0 else f"{line.median:.3f}"
        grid.add_row(escape(line.name), *(f"{n:,}" for n in (line.given, line.assigned, line.unsure)), median)
    console.print(grid)
    console.print(f"{summary_line(done)}.", highlight=False)
    console.print(f"{hidden_line(done)}.", highlight=False)
    written = escape(", ".join(str(path) for path in (files.out, files.check_file, files.page) if path is not None))
    runs = [] if mlruns == Path("mlruns") else ["--mlruns", str(mlruns)]
    where = escape(shlex.join(["kmpl", "predict", "more-images", "--model", run, *runs]))
    console.print(f"Written: [bold]{written}[/bold]; the model labels more: [bold]{where}[/bold]", soft_wrap=True)
