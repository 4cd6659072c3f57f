"""The flags of ``kmpl label-studio``, and what is refused before any work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.config.base import COMMA_SEPARATED, Settings
from kmpl.errors import FileError, UserError
from kmpl.runtime.input_paths import check_folder
from kmpl.runtime.output_paths import check_apart, check_target

if TYPE_CHECKING:
    from kmpl.jobs.label_studio import Place

ClassNames = Annotated[tuple[str, ...], *COMMA_SEPARATED, Parameter(negative="")]
Classes = Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)]


class ServerOptions(Settings):
    """Which project the folder belongs to."""

    url: str
    """Address of Label Studio, like http://localhost:8080. Its token is read from LABEL_STUDIO_API_KEY."""
    project: str
    """Title or number of the project."""
    class_named: Classes = ()
    """A name that is a class here, though elsewhere it means that there is no label (nan, None, ?). Repeatable."""
    quiet: Flag = False
    """Print nothing but warnings and errors."""

    def check(self, folder: Path) -> None:
        """Refuse, before anything heavy is imported, what cannot be reached or read.

        Raises:
            UserError: no such folder, no address, or no token.
        """
        from kmpl.label_studio.access import check_url, token

        check_folder(folder)
        check_url(self.url)
        token()

    def say(self, line: str) -> None:
        """Print a line for people, unless they want none."""
        Console(quiet=self.quiet).print(escape(line), highlight=False, soft_wrap=True)


class ImageOptions(ServerOptions):
    """How Label Studio gets the images."""

    classes: ClassNames = ()
    """Classes that the project offers, besides those of the labels: cat,dog."""
    upload: Flag = False
    """Upload the images. Without it Label Studio reads the folder itself, which it must be started for."""
    server_path: str | None = None
    """Path of the folder on Label Studio's machine or in its container, if it is another one there."""

    def place(self, folder: Path) -> "Place":
        """Return folder and project."""
        from kmpl.jobs.label_studio import Place

        return Place(
            folder=folder,
            url=self.url,
            project=self.project,
            classes=self.classes,
            upload=self.upload,
            server_path=self.server_path,
        )

    def check(self, folder: Path) -> None:
        """Refuse what ``ServerOptions`` refuses, and ways to the images that exclude each other.

        Raises:
            UserError: in one line.
        """
        super().check(folder)
        if self.upload and self.server_path is not None:
            raise UserError("--upload and --server-path: each says how images get there; give one of them")
        if self.server_path is not None and not self.server_path.startswith("/"):
            raise UserError(f"--server-path {self.server_path}: give a path from the root, like /data/photos")


class PushOptions(ImageOptions):
    """What is pushed."""

    labels: Path | None = None
    """File of labels, in any format that kmpl reads: given labels become annotations, kmpl's own predictions. Without
    it all images are pushed without labels."""
    format: str | None = None
    """Format of --labels, if its content does not tell it."""


class PullOptions(ServerOptions):
    """Where the labels go."""

    out: Path
    """CSV of given labels to write."""
    overwrite: Flag = False
    """Replace the file if it exists; labels in it that were filled in by hand are kept from that."""


class LoopOptions(ImageOptions):
    """When the folder is labelled anew, and the files to write."""

    out: Path
    """CSV of labels to write, anew in each round; the pulled ones are beside it, as NAME.given.csv."""
    gallery: Path | None = None
    """HTML page to write, to look at the result."""
    new: int = 10
    """New annotations that begin a round."""
    every: float = 10
    """Seconds between two looks at the annotations."""
    rounds: int = 0
    """Rounds; 0 = until Ctrl-C, or until every image is annotated."""
    mlruns: Folder = MLRUNS
    """Folder of the tracked runs and of the store of finished steps."""

    def check(self, folder: Path) -> None:
        """Refuse what ``ImageOptions`` refuses, numbers out of range, and files that cannot be written.

        Raises:
            UserError: in one line.
        """
        super().check(folder)
        for flag, value, least in (("--new", self.new, 1), ("--every", self.every, 1), ("--rounds", self.rounds, 0)):
            if value < least:
                raise UserError(f"{flag} {value:g}: give at least {least}")
        check_apart({"--out": self.out, "--gallery": self.gallery})
        check_target(self.out, "--out")
        if self.out.suffix.lower() != ".csv":
            raise FileError(f"--out {self.out}: is a CSV here; name it {self.out.with_suffix('.csv')}", self.out)
        if self.gallery is not None:
            check_target(self.gallery, "--gallery")
