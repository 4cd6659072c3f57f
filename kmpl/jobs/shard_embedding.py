"""A backbone's numbers for one shard of a folder's images: computed here or on a worker, and kept in the store.

Shapes: n images in a shard, D feature dimension.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
import torch

from kmpl.config.experiment import Learning
from kmpl.errors import FileError, UserError
from kmpl.images.conversion import Conversion
from kmpl.images.reading import read_in_order
from kmpl.models.backbones.backbone import Backbone
from kmpl.models.backbones.embedding import embed_batch
from kmpl.models.backbones.registry import open_backbone
from kmpl.runtime.devices import use_threads
from kmpl.runtime.files import digests_of
from kmpl.store.fingerprints import key
from kmpl.store.kept_results import weights_digest
from kmpl.store.store import Store

KIND = "shard-features"
_BATCH_IMAGES = 32
_MOST_IN_16_BITS = 6e4


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Some files of a folder, in the order of their rows."""

    number: int
    files: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of each file."""


@lru_cache(maxsize=1)
def backbone_of(name: str, weights: str) -> Backbone:
    """Return the backbone of that name, opened once.

    Raises:
        UserError: as ``open_backbone``.
    """
    return open_backbone(name, weights)


def reading_key(learning: Learning, conversion: Conversion) -> str:
    """Return the digest of all that determines features besides a file's content."""
    backbone = backbone_of(learning.backbone, learning.backbone_weights)
    return key(
        "backbone",
        learning,
        weights=weights_digest(backbone),
        size=backbone.size,
        conversion=conversion.record(),
    )


def key_of(shard: Shard, reading: str) -> str:
    """Return the key under which a shard's features are kept: equal files, read alike."""
    return hashlib.sha256(json.dumps([reading, shard.digests]).encode()).hexdigest()


def embed_shard(root: Path, shard: Shard, learning: Learning, conversion: Conversion, *, store: Store, at: str) -> None:
    """Compute the features of a shard and keep them.

    Args:
        root: folder of its files.
        shard: the files.
        learning: settings; ``backbone`` is one.
        conversion: what all files of the folder decided.
        store: of finished steps.
        at: key of the features.

    Raises:
        UserError: a file cannot be read or is not what it was, or the store cannot be written.
    """
    use_threads(learning.threads)
    backbone = backbone_of(learning.backbone, learning.backbone_weights)
    pictures = read_in_order(root, shard.files, size=backbone.size, channels=3, conversion=conversion)
    parts = []
    for start in range(0, len(shard.files), _BATCH_IMAGES):
        pixels = np.stack(list(islice(pictures, min(_BATCH_IMAGES, len(shard.files) - start))))
        parts.append(embed_batch(backbone, torch.from_numpy(pixels), learning.device, learning.precision))
    values = np.concatenate(parts)
    now, _ = digests_of(root, shard.files)
    changed = [file for file, digest in zip(shard.files, shard.digests, strict=True) if now.get(file) != digest]
    if changed:
        path = root / changed[0]
        more = f" and {len(changed) - 1:,} more files" if len(changed) > 1 else ""
        raise FileError(
            f"{path}{more}: changed while the folder was read; nothing of it was kept. Run the same command again when "
            "the folder rests",
            path,
        )
    fits = np.abs(values).max(initial=0.0) < _MOST_IN_16_BITS  # else infinite, or not a number
    store.write(KIND, at, {"features": torch.from_numpy(values.astype(np.float16) if fits else values)}, about={})


class StoredShards(Sequence[np.ndarray]):
    """Features (n, D) of shards in the store; each is read, and verified, whenever it is asked for."""

    def __init__(self, store: Store, keys: Sequence[str]) -> None:
        self.store = store
        self.keys = tuple(keys)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, i: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, i: slice) -> "StoredShards": ...
    def __getitem__(self, i: int | slice) -> "np.ndarray | StoredShards":
        if isinstance(i, slice):
            return StoredShards(self.store, self.keys[i])
        entry = self.store.read(KIND, self.keys[i])
        if entry is None:
            raise UserError(
                f"{self.store.place}: lost the features of shard {i + 1} of {len(self.keys)} while they were read; run "
                "the same command again, which computes that shard"
            )
        return entry.array("features")
