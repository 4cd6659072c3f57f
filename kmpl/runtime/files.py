"""Writing files whole or not at all, digests of files, and the folder of caches."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

from kmpl.errors import FileError
from kmpl.runtime.cores import cores


def cache_folder() -> Path:
    """Return the cache folder: ``KMPL_CACHE``, or the operating system's folder for the user's caches."""
    return Path(os.environ.get("KMPL_CACHE") or platformdirs.user_cache_dir("kmpl"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(root: Path, files: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of each file, and the files that cannot be read, with the reason.

    Args:
        root: folder of the files.
        files: paths relative to it.
    """

    def digest(file: str) -> str | OSError:
        try:
            return sha256(root / file)
        except OSError as error:
            return error

    with ThreadPoolExecutor(cores()) as pool:
        results = dict(zip(files, pool.map(digest, files), strict=True))
    reasons = {file: one.strerror or str(one) for file, one in results.items() if isinstance(one, OSError)}
    return {file: one for file, one in results.items() if isinstance(one, str)}, reasons


def describe(error: OSError, path: Path) -> str:
    """Return the message for an error on writing a file: which file, and why."""
    return f"cannot write {path}: {error.strerror or error}"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success move it to ``path``, on any failure remove it.

    Raises:
        UserError: the file system refuses (full, read-only, not allowed).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise FileError(describe(error, path), path) from error
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o666 & ~_umask())  # temporary files are private, results are not
        draft.replace(path)
    except OSError as error:
        raise FileError(describe(error, path), path) from error
    finally:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    """Return the process's mask for new files; to read it, the mask must be set for a moment."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
