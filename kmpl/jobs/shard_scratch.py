"""A folder of one run's own, for what a labelling in shards can make again; what a killed run left is removed."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmpl.datasets.feature_shards import ShardFolder
from kmpl.errors import FileError
from kmpl.runtime.files import describe
from kmpl.runtime.locks import hold, is_held


@contextmanager
def own_folder(scratch: Path) -> Iterator[ShardFolder]:
    """Yield an empty folder, which is removed at the end.

    Raises:
        FileError: the file system refuses.
    """
    place = scratch / "shards"
    own = place / uuid.uuid4().hex
    try:
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if old.is_dir() and not is_held(_lock_of(old), remove_dead=True):
                shutil.rmtree(old, ignore_errors=True)
        with hold(_lock_of(own)):
            own.mkdir()
            try:
                yield ShardFolder(own)
            finally:
                shutil.rmtree(own, ignore_errors=True)
    except OSError as error:
        raise FileError(f"{describe(error, own)}; make room, or name another folder by KMPL_SCRATCH", own) from error


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")
