"""Where the journal of a folder's review lies: by the folder's path, or by its images where the folder was moved."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.new_files import is_same
from kmpl.errors import FileError, LabelsWarning
from kmpl.review.journal import FILE
from kmpl.runtime.files import sha256, whole_file
from kmpl.runtime.locks import try_hold

FOLDER = "folder.json"
"""File beside the journal: where the folder lay when it was opened last, and the digest of each image."""
_LOOKED_AT = 10  # images of a folder that stands where one was moved from


def place_of(folder: Path, mlruns: Path) -> Path:
    """Return the folder of the journal that goes with a path: one for each, wherever its labels are written."""
    root = folder.resolve()
    return mlruns / "reviews" / f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def find_place(images: FolderImages, mlruns: Path) -> Path:
    """Return the folder of the journal; one of a folder that was moved here comes along, and a warning says so.

    Raises:
        FileError: the journal that goes with the path is of another folder, or the file system refuses.
    """
    here = place_of(images.root, mlruns)
    if (here / FILE).exists():
        _, kept = _read(here)
        if kept and not (set(kept.values()) & set(images.digests) or set(kept) & set(images.files)):
            raise FileError(
                f"{images.root}: is another folder than the one that was reviewed there: none of its {len(kept):,} "
                f"images is in it; to begin a review of this one, move {here} away",
                images.root,
            )
        return here
    for other in sorted(path.parent for path in (mlruns / "reviews").glob(f"*/{FOLDER}")):
        then, kept = _read(other)
        if kept and is_same(kept.values(), images.digests) and not _is_still_there(then, kept):
            message = f"{images.root}: is the folder whose review began in {then}; it goes on ({other.name})"
            warnings.warn(message, LabelsWarning, stacklevel=3)
            return _moved(other, here)
    return here


def keep_place(images: FolderImages, place: Path) -> None:
    """Write where the folder lies now, and its images.

    Raises:
        FileError: the file system refuses.
    """
    kept = {"folder": str(images.root.resolve()), "images": dict(zip(images.files, images.digests, strict=True))}
    with whole_file(place / FOLDER) as draft:
        draft.write_text(json.dumps(kept, indent=0), encoding="utf-8")


def _moved(other: Path, here: Path) -> Path:
    """Return the folder of a journal under its new name; under the old one while a process has it open."""
    with try_hold((other / FILE).with_suffix(".lock")) as is_held:
        return other.rename(here) if is_held and not here.exists() else other


def _read(place: Path) -> tuple[Path, dict[str, str]]:
    """Return where the folder lay, and the digest of each image; none where it is not known."""
    try:
        kept = json.loads((place / FOLDER).read_text(encoding="utf-8"))
        return Path(kept["folder"]), dict(kept["images"])
    except (OSError, ValueError, KeyError, TypeError):  # of an earlier version, or gone
        return Path(), {}


def _is_still_there(folder: Path, kept: Mapping[str, str]) -> bool:
    """Say whether a folder still holds the images that it held: then one that holds them, too, is a copy."""
    first = sorted(kept)[:_LOOKED_AT]
    return any((folder / file).is_file() and sha256(folder / file) == kept[file] for file in first)
