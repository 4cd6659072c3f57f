"""Features of shards made ready for labelling: of length one, in their principal components, with 16 bits a number.

Rotating features changes no distance and no linear classifier; the components that are left out hold the least of the
spread. Shapes: N images, n of them in a shard, D feature dimension, P components.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kmpl.errors import UserError
from kmpl.method.shard_kmeans import Shards, each
from kmpl.models.frozen_network import directions_of

MOST_COMPONENTS = 256
"""P, where features have more numbers; docs/log/attempts-feature-vectors.md has what that costs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection:
    """From a backbone's numbers to what is clustered and classified."""

    root: bool
    """Square roots are taken of the backbone's numbers."""
    mean: np.ndarray
    """(D,) of the features of length one; zeros where all components are kept as they are."""
    components: np.ndarray | None
    """(D, P) orthonormal; None where features are kept as they are."""

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return (n, P) float32 of a backbone's numbers (n, D)."""
        unit = directions_of(features, root=self.root)
        return unit if self.components is None else (unit - self.mean) @ self.components

    def of_head(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a linear classifier of features of length one, (C, D) and (C,), from one of components, (C, P)."""
        if self.components is None:
            return weight, bias
        whole = weight @ self.components.T
        return whole.astype(np.float32), (bias - whole @ self.mean).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Sums over one shard."""

    n: int
    sums: np.ndarray
    products: np.ndarray


def fit_projection(shards: Shards, *, name: str, most: int = MOST_COMPONENTS) -> Projection:
    """Return the projection of all features, from sums of each shard.

    Args:
        shards: a backbone's numbers (n, D).
        name: of the backbone, for errors.
        most: P, at most.

    Raises:
        UserError: numbers that are not finite, or all features are the same.
    """
    least, first, same, finite = np.inf, np.asarray(shards[0][:1], dtype=np.float32), True, True
    for low, alike, whole in each(lambda x: _seen(x, first), shards):
        least, same, finite = min(least, low), same and alike, finite and whole
    if not finite:
        raise UserError(f"--backbone {name}: not all features are finite numbers; another --precision may help")
    if same and sum(map(len, shards)) > 1:
        raise UserError(f"--backbone {name}: all images have the same features, which tell nothing apart")
    root = bool(least >= 0)
    dimension = shards[0].shape[1]
    if dimension <= most:
        return Projection(root=root, mean=np.zeros(dimension, dtype=np.float32), components=None)
    n, sums, products = 0, np.zeros(dimension), np.zeros((dimension, dimension))
    for part in each(lambda x: _moments(directions_of(x, root=root)), shards):
        n, sums, products = n + part.n, sums + part.sums, products + part.products
    mean = sums / n
    _, vectors = np.linalg.eigh(products / n - np.outer(mean, mean))
    return Projection(root=root, mean=mean.astype(np.float32), components=vectors[:, ::-1][:, :most].astype(np.float32))


def projected(shards: Shards, projection: Projection) -> Iterator[np.ndarray]:
    """Yield (n, P) float16 of each shard."""
    yield from each(lambda x: projection.apply(x).astype(np.float16), shards)


def _seen(features: np.ndarray, first: np.ndarray) -> tuple[float, bool, bool]:
    """Return the least number, whether all rows are that of ``first``, and whether all numbers are finite."""
    if not len(features):
        return np.inf, True, True
    whole = np.asarray(features, dtype=np.float32)
    return float(whole.min()), bool((whole == first).all()), bool(np.isfinite(whole).all())


def _moments(unit: np.ndarray) -> _Moments:
    return _Moments(len(unit), unit.sum(axis=0, dtype=np.float64), (unit.T @ unit).astype(np.float64))
