"""The store of finished steps in an object store, with copies on this machine's disk, which are bounded."""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from kmpl.errors import DamagedWarning, FileError, ScratchWarning
from kmpl.runtime.addresses import scratch, scratch_bytes
from kmpl.runtime.files import whole_file
from kmpl.store.objects import Objects, check_address
from kmpl.store.store import FORMAT, Entry, Store, verified, whole_entry

_FILLED_UP_TO = 0.9  # of the bound, after copies were removed: the next one removes none


def open_store(address: str, folder: Path) -> Store:
    """Return the store of finished steps.

    Args:
        address: ``s3://…``, ``gs://…``, ``az://…`` or ``file:///…``; empty: a folder of this machine.
        folder: that folder.

    Raises:
        UserError: no address of a store, or its library is not installed.
    """
    if not address:
        return Store(folder)
    if address.startswith("file:"):
        check_address(address)
        return Store(Path(address.removeprefix("file://")))
    return RemoteStore(address)


class RemoteStore(Store):
    """Entries as objects, each with a copy in the scratch folder once it was written or read here.

    Objects are never overwritten; content is verified whenever it is read, from the store or from its copy. Without
    room for copies all goes on, and each entry is fetched anew.
    """

    def __init__(self, address: str) -> None:
        self.objects = Objects(address)
        digest = hashlib.sha256(f"{self.objects.address} {os.environ.get('AWS_ENDPOINT_URL', '')}".encode())
        super().__init__(scratch() / "store" / digest.hexdigest()[:16])
        self.limit_bytes = scratch_bytes()

    @property
    def place(self) -> str:
        """Where the entries are, for people."""
        return self.objects.address

    def keys(self, kind: str) -> list[str]:
        """Return the keys of all entries of a kind, sorted.

        Raises:
            StoreError: the store does not answer.
        """
        return sorted(Path(name).stem for name in self.objects.sizes(f"{FORMAT}/{kind}"))

    def read(self, kind: str, key: str) -> Entry | None:
        """Return an entry; None where there is none. A damaged one is removed with a warning, and None returned.

        Raises:
            StoreError: the store does not answer.
        """
        entry = super().read(kind, key)
        if entry is not None:
            with contextlib.suppress(OSError):  # what was used last is kept longest
                os.utime(self.path(kind, key))
            return entry
        name = self._name(kind, key)
        content = self.objects.read(name)
        if content is None:
            return None
        try:
            entry = verified(kind, key, safetensors.torch.load(content), _header(content))
        except (SafetensorError, ValueError, KeyError) as error:
            warnings.warn(
                f"{self.place}/{name} is damaged ({str(error).splitlines()[0]}); it is computed again",
                DamagedWarning,
                stacklevel=2,
            )
            self.objects.remove(name)
            return None
        self._copy(kind, key, content)
        return entry

    def write(self, kind: str, key: str, tensors: Mapping[str, Tensor], *, about: Mapping[str, Any]) -> None:
        """Keep tensors, and what JSON takes, under a key, unless something is kept there.

        Raises:
            StoreError: the store does not answer, or refuses.
        """
        content = safetensors.torch.save(*whole_entry(kind, key, tensors, about))
        self.objects.put(self._name(kind, key), content)
        self._copy(kind, key, content)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes by kind.

        Raises:
            StoreError: the store does not answer.
        """
        sizes: dict[str, tuple[int, int]] = {}
        for name, size in self.objects.sizes(FORMAT).items():
            kind = name.split("/")[1]
            count, before = sizes.get(kind, (0, 0))
            sizes[kind] = count + 1, before + size
        return sizes

    def clear(self) -> None:
        """Remove all entries, for all machines, and this machine's copies; nothing else below the address.

        Raises:
            UserError: the store does not answer, or the file system refuses.
        """
        self.objects.remove(*self.objects.sizes(FORMAT))
        super().clear()

    def _name(self, kind: str, key: str) -> str:
        return self.path(kind, key).relative_to(self.folder).as_posix()

    def _copy(self, kind: str, key: str, content: bytes) -> None:
        """Keep a copy on this machine; a disk without room is told of once, and costs only time."""
        if len(content) > self.limit_bytes:
            return
        try:
            with whole_file(self.path(kind, key)) as draft:
                draft.write_bytes(content)
        except FileError as error:
            warnings.warn(
                f"no copies of {self.place} are kept on this machine: {error}; all goes on, and what is needed again "
                "is fetched again",
                ScratchWarning,
                stacklevel=3,
            )
        self._make_room()

    def _make_room(self) -> None:
        """Remove the copies that were not used for longest, until all take less than they may."""
        found = []
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # another process has removed it since
                status = path.stat()
                found += [(status.st_mtime, status.st_size, path)] if path.is_file() else []
        size = sum(one[1] for one in found)
        if size <= self.limit_bytes:
            return
        for _, bytes_, path in sorted(found, key=lambda one: one[0]):
            with contextlib.suppress(OSError):
                path.unlink()
            size -= bytes_
            if size <= _FILLED_UP_TO * self.limit_bytes:
                return


def _header(content: bytes) -> dict[str, str]:
    """Return the texts in the header of a safetensors file, which the library gives of files on a disk alone."""
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__") or {})
