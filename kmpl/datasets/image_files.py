"""The image files of a folder, and the labels given for them; nothing of an image is read but its first bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats.folder_labels import labels_of_folders
from kmpl.formats.given_labels import GivenLabels, Rules
from kmpl.formats.registry import read_labels
from kmpl.images.file_kinds import IMAGE_SUFFIXES, identify
from kmpl.images.file_tree import walk
from kmpl.runtime.input_paths import check_folder

LABELS_FILE = "labels.csv"
"""Name of the CSV in the folder that gives the labels, if the caller names none."""


def scan(root: Path, by_content: Callable[[str], None] = lambda file: None) -> tuple[list[str], dict[str, str]]:  # noqa: ARG005
    """Return the sorted paths of all images below a folder, and the unreadable files with the reason.

    Files that ``walk`` skips are no images. An unreadable sub-folder is left out as a file is.

    Args:
        root: the folder.
        by_content: called with each image whose suffix is no image's, but whose first bytes are.

    Raises:
        UserError: no such folder, one that cannot be read, or no image in it.
    """
    check_folder(root)
    files: list[str] = []
    left_out: dict[str, str] = {}

    def leave_out(folder: str, error: OSError) -> None:
        reason = error.strerror or str(error)
        if not folder:
            raise FileError(f"cannot read the folder {root}: {reason}", root) from error
        left_out[_readable(folder)] = f"the folder cannot be read: {reason}"

    for name in walk(root, leave_out):
        if _readable(name) != name:
            left_out[_readable(name)] = "its name is no UTF-8; rename it"
        elif (file := identify(root / name)) and not file.unreadable:
            files.append(name)
            if file.by_content:
                by_content(name)
        elif file:
            left_out[name] = file.unreadable
    if not files:
        more = f"; {len(left_out):,} files are left out, the first: {_first(left_out)}" if left_out else ""
        raise FileError(f"{root}: no image in it or below it ({_formats()}); name a folder of images{more}", root)
    return sorted(files), left_out


def _formats() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def _first(left_out: dict[str, str]) -> str:
    name = min(left_out)
    return f"{name} {left_out[name]}"


def _readable(name: str) -> str:
    """Return a file name as printable text; a name in UTF-8 is unchanged."""
    return name.encode("utf-8", "backslashreplace").decode()


def labels_file(root: Path, named: Path | None) -> Path | None:
    """Return the CSV of given labels: the named one, or ``labels.csv`` in the folder; None if there is neither."""
    in_folder = root / LABELS_FILE
    return named or (in_folder if in_folder.is_file() else None)


def given_labels(root: Path, table: Path | None, files: Sequence[str], rules: Rules) -> GivenLabels:
    """Return the given labels of a folder's files: those of a file of labels, or the names of sub-folders.

    Raises:
        UserError: the file does not fit the folder, or the sub-folders are no classes.
    """
    return labels_of_folders(files, root, rules) if table is None else read_labels(table, root, files, rules)
