"""The files that a labelling of a folder reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from kmpl.datasets.image_files import LABELS_FILE
from kmpl.formats import writing
from kmpl.formats.given_labels import NO_RULES, Rules
from kmpl.runtime.output_paths import check_apart, check_target


@dataclass(frozen=True)
class Files:
    """The files that a labelling reads and writes."""

    folder: Path
    out: Path
    """File or folder of all labels."""
    labels: Path | None = None
    """File of given labels; None: ``labels.csv`` in the folder, or the names of sub-folders."""
    gallery: Path | None = None
    """HTML page of the result."""
    overwrite: bool = False
    rules: Rules = NO_RULES
    """The user's rules for the format of given labels, and for ambiguous names and labels."""
    out_format: str | None = None
    """Format of ``out`` (``kmpl.formats.registry``); None: its name tells it."""

    final_folder: Path | None = None
    """Folder that ``out``, and a file of given labels beside it, go to once all are whole; None: they stay."""

    def lasting(self, path: Path) -> Path:
        """Return where a file that is read or written now lies later."""
        is_draft = self.final_folder is not None and path.resolve().parent == self.out.resolve().parent
        return (self.final_folder / path.name if self.final_folder and is_draft else path).resolve()

    @property
    def format(self) -> str:
        """Name of the format of ``out``.

        Raises:
            UserError: there is no such format, or the name says nothing.
        """
        return writing.name_for(self.out, self.out_format)

    @property
    def new_files_file(self) -> Path:
        """File of what ``--new-files`` found, beside ``out``: ``labels.csv`` → ``labels.new-files.json``."""
        return self.check_file.with_name(self.check_file.name.removesuffix("check.json") + "new-files.json")

    @property
    def check_file(self) -> Path:
        """File of the check, with the expected accuracy, beside ``out``: ``labels.csv`` → ``labels.check.json``.

        That of another format keeps its suffix: ``labels.json`` → ``labels.json.check.json``.
        """
        name = self.out.stem if self.out.suffix in ("", ".csv") else self.out.name
        return self.out.with_name(f"{name}.check.json")

    def check(self) -> None:
        """Refuse, before any work, output files that could not be written at the end.

        Raises:
            UserError: an error of ``check_target``, or an output file is that of given labels.
        """
        labels = self.labels or self.folder / LABELS_FILE
        check_apart({"--labels": labels, "--out": self.out, "--gallery": self.gallery, "the check": self.check_file})
        writing.check_place(self.out, self.folder, self.format)
        check_target(self.out, "--out", self.overwrite)
        if self.gallery is not None:
            check_target(self.gallery, "--gallery", self.overwrite)
        check_target(self.check_file, "the check beside --out", self.overwrite)
