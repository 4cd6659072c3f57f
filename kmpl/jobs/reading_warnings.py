"""What the user should know of a folder that was read: files left out, copies with other labels, doubtful labels."""

import warnings
from typing import TYPE_CHECKING

from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning
from kmpl.labelling.words import abbreviate

if TYPE_CHECKING:  # it imports PyTorch
    from kmpl.datasets.image_folder import FolderImages

MAX_NAMED_FILES = 20
"""Number of files that a warning names."""


def warn_of_reading(images: "FolderImages") -> None:
    """Warn of files left out, of doubtful labels, and of how files were read."""
    source = images.labels_file or images.root
    for message in images.label_notes:
        warnings.warn(f"{source}: {message}", LabelsWarning, stacklevel=2)
    for message in (_left_out_text(images), _conflicts_text(images)):
        if message:
            warnings.warn(f"{images.root}: {message}", LeftOutWarning, stacklevel=2)
    for message in images.reading_notes:
        warnings.warn(f"{images.root}: {message}", ReadingWarning, stacklevel=2)


def _left_out_text(images: "FolderImages") -> str:
    names = [f"{file} ({reason})" for file, reason in images.left_out.items()]
    count = "1 file cannot be read and is" if len(names) == 1 else f"{len(names):,} files cannot be read and are"
    return f"{count} left out: {abbreviate(names, MAX_NAMED_FILES)}" if names else ""


def _conflicts_text(images: "FolderImages") -> str:
    groups = [abbreviate(files, 5, between=" = ") for files in images.conflicts]
    count = "1 image has copies" if len(groups) == 1 else f"{len(groups):,} images have copies"
    return f"{count} with another label: {abbreviate(groups, MAX_NAMED_FILES)}" if groups else ""
