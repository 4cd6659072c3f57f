"""Folders of images in the store, by content: put there where they lie, fetched where they are needed.

Files travel in packs, so that a hundred thousand small images are not as many requests; a pack is an entry like any
other, verified whenever it is read.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from kmpl.datasets.image_files import LABELS_FILE, scan
from kmpl.errors import FileError
from kmpl.runtime.files import describe
from kmpl.store.store import Store

FOLDERS, PACKS = "folders", "packs"
"""Kinds of entries: what a folder holds, and the bytes of its files."""
PACK_BYTES = 64_000_000
File = tuple[str, int, str]
"""Path relative to the folder, size in bytes, SHA-256 of the content."""


def put_folder(store: Store, root: Path) -> str:
    """Keep a folder's images and their ``labels.csv``; return the key by which it is fetched: equal content, equal key.

    Raises:
        UserError: a file cannot be read, or the store does not answer.
    """
    return put_files(store, root, _names(root))


def put_files(store: Store, root: Path, names: Iterable[str]) -> str:
    """Keep some files of a folder as ``put_folder`` keeps all of them, in their order; return the key.

    Raises:
        UserError: a file cannot be read, or the store does not answer.
    """
    packs, listed = list[str](), list[File]()
    for files, content in _packs(root, names):
        pack = hashlib.sha256(content).hexdigest()
        if pack not in packs:
            tensor = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())
            store.write(PACKS, pack, {"content": tensor}, about={})
        packs.append(pack)
        listed += files
    about = {"files": listed, "packs": packs}
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    store.write(FOLDERS, key, {}, about=about)
    return key


def fetch_folder(store: Store, key: str, into: Path) -> Path:
    """Return the folder of a key, below ``into``, whole: made there unless it is there already.

    Raises:
        UserError: the store does not answer or lost it, or the disk here is full.
    """
    target = into / key
    if target.is_dir():
        return target
    try:
        into.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=into, prefix=f".{key[:8]}."))
        try:
            _unpack(store, key, draft)
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        line = f"{describe(error, target)}; make room, or name another folder by KMPL_SCRATCH"
        raise FileError(line, target) from error
    return target


def _unpack(store: Store, key: str, draft: Path) -> None:
    folder = store.read(FOLDERS, key)
    if folder is None:
        line = f"{store.place} has no folder {key[:12]} any more; start the sweep again, which puts it there"
        raise FileError(line, key)
    files = iter(folder.about["files"])
    for pack in folder.about["packs"]:
        entry = store.read(PACKS, pack)
        if entry is None:
            raise FileError(f"{store.place} lost a part of folder {key[:12]}; start the sweep again", key)
        content, at = entry.array("content"), 0
        while at < len(content):
            name, size, _ = next(files)
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[at : at + size].tobytes())
            at += size


def _packs(root: Path, names: Iterable[str]) -> Iterator[tuple[list[File], bytes]]:
    """Yield files and their bytes, in packs of about ``PACK_BYTES``."""
    files, parts, size = list[File](), list[bytes](), 0
    for name in names:
        try:
            content = (root / name).read_bytes()
        except OSError as error:
            raise FileError(f"cannot read {root / name}: {error.strerror or error}", root / name) from error
        if not content:  # no image, and nothing that a pack could hold
            continue
        files.append((name, len(content), hashlib.sha256(content).hexdigest()))
        parts.append(content)
        size += len(content)
        if size >= PACK_BYTES:
            yield files, b"".join(parts)
            files, parts, size = [], [], 0
    if files:
        yield files, b"".join(parts)


def _names(root: Path) -> list[str]:
    """Return images, files that look like images, and the table of labels, which may name either."""
    readable, left_out = scan(root)
    there = [name for name in left_out if (root / name).is_file()]
    return sorted({*readable, *there, *([LABELS_FILE] if (root / LABELS_FILE).is_file() else [])})
