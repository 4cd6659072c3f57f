"""Data sets by torchvision's name, or ``folder:PATH``, read as one uint8 tensor each.

A new data set is a function ``train → Images`` and one line in ``kmpl.config.datasets``.
"""

from collections.abc import Callable

from kmpl.config.datasets import DATASETS
from kmpl.datasets import folder_dataset
from kmpl.datasets.types import Images
from kmpl.errors import UserError, look_up
from kmpl.runtime.files import cache_folder

Reader = Callable[[bool], Images]
"""Training part or test part → its images."""


def content(name: str) -> str:
    """Return the digest of a folder's images and labels; empty for data sets whose name says what is in them.

    Raises:
        UserError: as ``read``.
    """
    return folder_dataset.content(name) if name.startswith(folder_dataset.PREFIX) else ""


def read(name: str, train: bool, size: int = 0) -> Images:
    """Return the training or the test images of a data set, downloading them where they are not yet in the cache.

    Args:
        name: one of ``DATASETS``, or ``folder:PATH``.
        train: which part.
        size: side in pixels that the images of a folder are read at, 0 = 32; the others have a size of their own.

    Raises:
        UserError: unknown name, damaged file, no way to download, or a folder that is no data set.
    """
    if name.startswith(folder_dataset.PREFIX):
        return folder_dataset.read(name, train, size)
    reader: Reader = look_up(DATASETS, name, "dataset").load()
    # torchvision has no error of its own for no network or a damaged file: it lets whatever comes through.
    try:
        return reader(train)
    except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split()).rstrip(":; ") or type(error).__name__
        folder = cache_folder() / "datasets"
        raise UserError(
            f"cannot get {name}: {reason}; go online, or put its files into {folder} (delete damaged ones)"
        ) from error
