"""Files that are whole or absent, and known by their content."""

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kmpl.errors import DamagedWarning, FileError
from kmpl.runtime.files import whole_file

FORMAT = "v1"  # part of every entry's path: a store that another version wrote is never misread, only not found


def content_digest(tensors: Mapping[str, Tensor], about: str = "") -> str:
    """Return the SHA-256 of named tensors (names, shapes, types, bytes) and of a text about them."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What the store keeps under one key."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    """What JSON takes."""

    def array(self, name: str) -> np.ndarray:
        """Return one tensor as NumPy array."""
        return self.tensors[name].numpy()


def verified(kind: str, key: str, tensors: dict[str, Tensor], header: Mapping[str, str]) -> Entry:
    """Return what was read as an entry.

    Raises:
        ValueError: it is not what was written under that kind and key.
    """
    if header.get("digest") != content_digest(tensors, f"{kind} {key} {header.get('about')}"):
        raise ValueError("its content is not what was written")
    return Entry(tensors=tensors, about=json.loads(header["about"]))


def whole_entry(
    kind: str, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and header of an entry, as they are written."""
    text = json.dumps(about)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return whole, {"about": text, "digest": content_digest(whole, f"{kind} {key} {text}")}


class Store:
    """Results of steps by kind and key, the key being the digest of everything that determines the result.

    An entry is one safetensors file: written beside its place and moved there when it is whole, verified against its
    own digest whenever it is read. Two processes may write the same entry at once: both write the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def place(self) -> str:
        """Where the entries are, for people."""
        return str(self.folder)

    def path(self, kind: str, key: str) -> Path:
        """Return where an entry is or would be."""
        return self.folder / FORMAT / kind / key[:2] / f"{key}.safetensors"

    def keys(self, kind: str) -> list[str]:
        """Return the keys of all entries of a kind, sorted."""
        return sorted(path.stem for path in (self.folder / FORMAT / kind).glob("*/*.safetensors"))

    def read(self, kind: str, key: str) -> Entry | None:
        """Return an entry; None where there is none. A damaged one is removed with a warning, and None returned."""
        path = self.path(kind, key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            return verified(kind, key, tensors, header)
        except (OSError, SafetensorError, ValueError) as error:
            reason = str(error).splitlines()[0]
        warnings.warn(f"{path} is damaged ({reason}); it is computed again", DamagedWarning, stacklevel=2)
        with contextlib.suppress(OSError):  # not allowed here: writing will say so
            path.unlink()
        return None

    def write(self, kind: str, key: str, tensors: Mapping[str, Tensor], *, about: Mapping[str, Any]) -> None:
        """Keep tensors, and what JSON takes, under a key.

        Raises:
            UserError: the file system refuses; nothing half-written is left.
        """
        path = self.path(kind, key)
        whole, header = whole_entry(kind, key, tensors, about)
        with whole_file(path) as draft:
            try:
                save_file(whole, draft, header)
            except SafetensorError as error:  # its own wrapping of the operating system's refusal
                raise FileError(f"cannot write {path}: {error}", path) from error

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes by kind; what other versions or killed writers left is ``other``."""
        sizes: dict[str, tuple[int, int]] = {}
        for path in filter(Path.is_file, self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            ours = parts[0] == FORMAT and path.suffix == ".safetensors" and not path.name.startswith(".")
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
            raise FileError(f"cannot clear {self.folder}: {error.strerror or error}", self.folder) from error
