"""Files that are whole or absent, and known by their content."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kmpl.errors import DamagedWarning, UserError

_FORMAT = "v1"  # part of every entry's path: a store that another version wrote is never misread, only not found


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
        draft.chmod(0o666 & ~_umask())  # temporary files are private, results are not
        draft.replace(path)
    except OSError as error:
        raise UserError(describe(error, path)) from error
    finally:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    """Return the process's mask for new files; asking means setting it for a moment."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def save_network(network: nn.Module, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write the state of a network as safetensors, with texts in the file's header.

    Raises:
        UserError: the file system refuses; nothing is left behind.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as draft:
        try:
            save_file(state, draft, dict(header) if header else None)
        except SafetensorError as error:  # its own wrapping of the operating system's refusal
            raise UserError(f"cannot write {path}: {error}") from error


def load_network(network: nn.Module, path: Path) -> None:
    """Read a state written by ``save_network`` into a network of the same shape.

    Raises:
        UserError: no such file, a damaged one, or one of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    except RuntimeError as error:
        raise UserError(
            f"{path} holds the weights of another network: {str(error).splitlines()[-1].strip()}"
        ) from error


def content_digest(tensors: Mapping[str, Tensor], about: str = "") -> str:
    """Return the SHA-256 of named tensors (names, shapes, types, bytes) and of a text about them."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """What the store keeps under one key."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    """What JSON takes."""

    def array(self, name: str) -> np.ndarray:
        """Return one tensor as NumPy array."""
        return self.tensors[name].numpy()


class Store:
    """Results of steps by kind and key, the key being the digest of everything that determines the result.

    An entry is one safetensors file: written beside its place and moved there when it is whole, verified against its
    own digest whenever it is read. Two processes may write the same entry at once: both write the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: str, key: str) -> Path:
        """Return where an entry is or would be."""
        return self.folder / _FORMAT / kind / key[:2] / f"{key}.safetensors"

    def read(self, kind: str, key: str) -> Entry | None:
        """Return an entry; None where there is none. A damaged one is removed with a warning, and None returned."""
        path = self.path(kind, key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            if header.get("digest") == content_digest(tensors, f"{kind} {key} {header.get('about')}"):
                return Entry(tensors, json.loads(header["about"]))
        except (OSError, SafetensorError, ValueError) as error:
            reason = str(error).splitlines()[0]
        else:
            reason = "its content is not what was written"
        warnings.warn(f"{path} is damaged ({reason}); it is computed again", DamagedWarning, stacklevel=2)
        with contextlib.suppress(OSError):  # not allowed here: writing will say so
            path.unlink()
        return None

    def write(self, kind: str, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Keep tensors, and what JSON takes, under a key.

        Raises:
            UserError: the file system refuses; nothing half-written is left.
        """
        text, path = json.dumps(about), self.path(kind, key)
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        header = {"about": text, "digest": content_digest(whole, f"{kind} {key} {text}")}
        with whole_file(path) as draft:
            try:
                save_file(whole, draft, header)
            except SafetensorError as error:  # its own wrapping of the operating system's refusal
                raise UserError(f"cannot write {path}: {error}") from error

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes by kind; what other versions or killed writers left is ``other``."""
        sizes: dict[str, tuple[int, int]] = {}
        for path in filter(Path.is_file, self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            ours = parts[0] == _FORMAT and path.suffix == ".safetensors" and not path.name.startswith(".")
            kind = parts[1] if ours else "other"
            count, size = sizes.get(kind, (0, 0))
            with contextlib.suppress(FileNotFoundError):  # a draft that its writer has moved into place since
                sizes[kind] = count + 1, size + path.stat().st_size
        return dict(sorted(sizes.items()))

    def clear(self) -> None:
        """Remove all entries.

        Raises:
            UserError: the file system refuses.
        """
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
        except OSError as error:
            raise UserError(f"cannot clear {self.folder}: {error.strerror or error}") from error
