"""What the commands on a folder of images share: reading it, its labels and what is said of them."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning

if TYPE_CHECKING:
    from kmpl.datasets.image_folder import FolderImages
    from kmpl.jobs.label_folder import Files


ClassNamed = Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)]
Trust = Literal["assigned", "given"] | None


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print each warning as a line of ours."""
    with warnings.catch_warnings():
        for ours in (LeftOutWarning, LabelsWarning, ReadingWarning):
            warnings.simplefilter("always", ours)
        warnings.showwarning = lambda message, *_: print(f"kmpl: {message}", file=sys.stderr)
        yield


def read_from_options(files: "Files", size: int, console: Console) -> "FolderImages":
    """Read the images under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from kmpl.jobs import label_folder

    if not console.is_terminal:
        return label_folder.read(files, size)
    columns = (TextColumn("read images"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("read", total=None)
        return label_folder.read(files, size, lambda n, total: bar.update(task, completed=n, total=total))
