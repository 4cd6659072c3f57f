"""The flags that the commands on a folder of images share, and how they read the folder and print its warnings."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.config.base import Settings
from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning, look_up
from kmpl.formats.given_labels import Rules
from kmpl.formats.registry import FORMATS
from kmpl.runtime.input_paths import check_folder, check_labels
from kmpl.runtime.output_paths import check_target

if TYPE_CHECKING:
    from kmpl.datasets.image_folder import FolderImages
    from kmpl.jobs.label_files import Files


class FolderOptions(Settings):
    """How a folder and its labels are read, and what happens to files that exist."""

    out: Path
    """CSV to write."""
    labels: Path | None = None
    """File of the given labels: a CSV (columns file and label), or what a labelling tool exports. Without it:
    labels.csv in the folder, or else the names of sub-folders."""
    format: str | None = None
    """Format of --labels, if its content does not tell it."""
    class_named: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)] = ()
    """A name that is a class here, though elsewhere it means that there is no label (nan, None, ?) or a part of a data
    set (train, test). Repeatable."""
    trust: Literal["assigned", "given"] | None = None
    """What counts of labels that kmpl assigned, in a file of its own given as --labels: assigned (all), given (what
    a person gave or changed). Without it: all if a person changed some, else it is refused."""
    overwrite: Flag = False
    """Replace files that exist."""
    mlruns: Folder = MLRUNS
    """Folder of the tracked runs and of the store of finished steps."""
    quiet: Flag = False
    """Print nothing but warnings and errors."""

    def check(self, folder: Path) -> None:
        """Refuse, before anything heavy is imported, paths that cannot be read or written.

        Raises:
            UserError: there is no such folder, file of labels or format, or ``out`` cannot be written.
        """
        check_folder(folder)
        check_labels(self.labels)
        if self.format is not None:
            look_up(FORMATS, self.format, "format")
        check_target(self.out, "--out", self.overwrite)

    def reading_flags(self) -> list[str]:
        """Return the flags that say how names are read, for the next command on the same folder."""
        return [f"--class-named={name}" for name in self.class_named]

    def files(self, folder: Path) -> "Files":
        """Return the files to read and to write.

        Raises:
            UserError: a name that is given as ``class_named`` is a class anyway.
        """
        from kmpl.jobs.label_files import Files

        return Files(folder, self.out, self.labels, overwrite=self.overwrite, rules=self.rules)

    @property
    def rules(self) -> Rules:
        """The user's decisions on the file of given labels.

        Raises:
            UserError: as ``Rules``.
        """
        return Rules(self.class_named, self.trust, self.format)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print each warning as a line of ours."""
    with warnings.catch_warnings():
        for ours in (LeftOutWarning, LabelsWarning, ReadingWarning):
            warnings.simplefilter("always", ours)
        warnings.showwarning = lambda message, *_: print(f"kmpl: {message}", file=sys.stderr)
        yield


def embed_from_options(
    images: "FolderImages", overrides: Mapping[str, Any], mlruns: Path, console: Console
) -> "FolderImages":
    """Compute features of the backbone, if there is one, under a progress bar."""
    from kmpl.jobs import folder_images

    with file_progress(console, "embed images") as on_progress:
        return folder_images.embed(images, overrides, mlruns=mlruns, on_progress=on_progress)


def read_from_options(files: "Files", size: int, console: Console) -> "FolderImages":
    """Read the images under a progress bar."""
    from kmpl.jobs import folder_images

    with file_progress(console, "read images") as on_progress:
        return folder_images.read(files, size, on_progress)


@contextmanager
def file_progress(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told the number of files so far and in all; a terminal shows it as a bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not console.is_terminal:
        yield lambda n, total: None  # noqa: ARG005
        return
    columns = (TextColumn(title), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, visible=False)
        yield lambda n, total: bar.update(task, completed=n, total=total, visible=True)
