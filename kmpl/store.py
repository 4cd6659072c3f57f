"""Files that are whole or absent, and known by their content."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from safetensors.torch import load_file, save_file
from torch import nn

from kmpl.errors import UserError


def cache_folder() -> Path:
    """Return the per-user cache: ``KMPL_CACHE``, or what the operating system names."""
    return Path(os.environ.get("KMPL_CACHE") or platformdirs.user_cache_dir("kmpl"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(error: OSError, path: Path) -> str:
    """Return one line for an operating system's refusal: what, where, why."""
    return f"cannot write {path}: {error.strerror or error}"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place on success, remove it on any failure.

    Raises:
        UserError: the file system refuses (full, read-only, not allowed).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as error:
        raise UserError(describe(error, path)) from error
    draft = Path(name)
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise UserError(describe(error, path)) from error
    finally:
        draft.unlink(missing_ok=True)


def save_network(network: nn.Module, path: Path) -> None:
    """Write the state of a network as safetensors.

    Raises:
        UserError: the file system refuses; nothing is left behind.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as draft:
        try:
            save_file(state, draft)
        except Exception as error:  # safetensors wraps the operating system's refusal in an error of its own
            if type(error).__name__ != "SafetensorError":
                raise
            raise UserError(f"cannot write {path}: {error}") from error


def load_network(network: nn.Module, path: Path) -> None:
    """Read a state written by ``save_network`` into a network of the same shape."""
    network.load_state_dict(load_file(path))
