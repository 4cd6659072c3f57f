"""Features of a backbone by the content of files: a folder that grows costs only what is new. D feature dimension."""

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
import torch

from kmpl.store.store import Store

_KIND = "backbone-features"


class KeptFeatures:
    """Features of one backbone, read in one way; an entry of the store holds those of many files."""

    def __init__(self, store: Store, reading: str) -> None:
        """Open what is kept.

        Args:
            store: of finished steps.
            reading: digest of all that determines features besides a file's content.
        """
        self.store = store
        self.kind = f"{_KIND}/{reading}"

    def read(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """Return those features that are kept, (D,) float32 each, by the SHA-256 of their files."""
        rows: dict[str, np.ndarray] = {}
        for key in self.store.keys(self.kind):
            entry = self.store.read(self.kind, key)
            if entry is not None:
                digests = (row.tobytes().hex() for row in entry.array("digests"))
                features = entry.array("features")
                rows |= {digest: features[i].copy() for i, digest in enumerate(digests) if digest in wanted}
        return rows

    def write(self, rows: Mapping[str, np.ndarray]) -> None:
        """Keep features by the SHA-256 of their files.

        Raises:
            UserError: the file system refuses.
        """
        if rows:
            digests = np.frombuffer(bytes.fromhex("".join(rows)), dtype=np.uint8).reshape(len(rows), -1)
            tensors = {"digests": torch.tensor(digests), "features": torch.from_numpy(np.stack(list(rows.values())))}
            self.store.write(self.kind, hashlib.sha256(digests.tobytes()).hexdigest(), tensors, about={})
