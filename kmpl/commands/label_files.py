"""The flags of ``kmpl label`` that name files: the folder's labels, and what is written."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kmpl.commands.flags import Flag
from kmpl.commands.folder_options import FolderOptions
from kmpl.errors import UserError
from kmpl.formats.writing import check_place, name_for

if TYPE_CHECKING:
    from kmpl.jobs.label_files import Files

NOT_NAMED = Path()
"""No file of labels is named."""


class LabelFiles(FolderOptions):
    """The folder's labels, and the files to write."""

    out: Annotated[Path, Parameter(show_default=False)] = NOT_NAMED
    """File of labels to write: .csv, .parquet, .json (Label Studio), metadata.jsonl (Hugging Face), labels.json
    (FiftyOne). NAME.check.json beside it says what to expect. Only --new-files does without."""
    out_format: str | None = None
    """Format of --out, if its name does not tell it: lightly, imagefolder, …; a wrong name shows all."""
    gallery: Path | None = None
    """HTML page to write, to look at the result."""
    new_files: Flag = False
    """Label only what is new, by the model that is there."""

    @property
    def out_is_named(self) -> bool:
        """Whether a file of labels is named."""
        return self.out != NOT_NAMED

    def check(self, folder: Path) -> None:
        """Refuse what ``FolderOptions`` refuses, and a format that the name does not tell.

        Raises:
            UserError: in one line.
        """
        if not self.out_is_named:
            raise UserError("--out is missing; see kmpl label --help")
        check_place(self.out, folder, name_for(self.out, self.out_format))
        super().check(folder)

    def files(self, folder: Path) -> "Files":
        """Return the files to read and to write."""
        return replace(super().files(folder), gallery=self.gallery, out_format=self.out_format)
