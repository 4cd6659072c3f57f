"""Checks of input paths before any work, and before anything heavy is imported."""

from pathlib import Path

from kmpl.errors import FileError


def check_folder(root: Path) -> None:
    """Refuse what is no folder.

    Raises:
        UserError: there is no such folder, or it is a file.
    """
    if not root.is_dir():
        problem = "is a file" if root.exists() else "there is no such folder"
        raise FileError(f"{root}: {problem}; name a folder of images", root)


def check_labels(path: Path | None) -> None:
    """Refuse a file of labels that is not there or is a folder; None is no file.

    Raises:
        UserError: there is no such file, or it is a folder.
    """
    if path is not None and not path.is_file():
        problem = "is a folder" if path.is_dir() else "there is no such file"
        remedy = "name a CSV with the columns file and label, or another file of labels"
        raise FileError(f"--labels {path}: {problem}; {remedy}", path)
