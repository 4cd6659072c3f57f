"""A folder with a sub-folder per class, for torchvision's ImageFolder and for FiftyOne."""

from collections.abc import Sequence
from pathlib import Path

from kmpl.formats.links import flat_names, link_all
from kmpl.formats.records import LabelRecord

_UNLABELLED = "_unlabeled"
"""FiftyOne's name for images without a label."""


def write_torchvision(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write the labelled images: to torchvision, a folder of the others would be a class.

    Raises:
        ValueError: a class whose name cannot be that of a folder.
    """
    _write([record for record in records if record.label], path, root)


def write_fiftyone(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    """Write all images; those without a label lie in ``_unlabeled``.

    Raises:
        ValueError: as ``write_torchvision``.
    """
    _write(records, path, root)


def _write(records: Sequence[LabelRecord], path: Path, root: Path) -> None:
    for record in records:
        if "/" in record.label or record.label in (".", ".."):
            problem = f"the class '{record.label}' cannot be a folder"
            raise ValueError(f"{problem}; give it another name, or write another format")
    files: dict[str, list[str]] = {}
    for record in records:
        files.setdefault(record.label or _UNLABELLED, []).append(record.file)
    path.mkdir(parents=True, exist_ok=True)
    for folder, group in files.items():
        names = flat_names(group)
        link_all({root / file: path / folder / names[file] for file in group})
