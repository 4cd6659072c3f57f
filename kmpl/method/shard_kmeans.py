"""K-means over features in shards: Lloyd's algorithm with sums of each shard, which are added in the shards' order.

The result depends on the shards, not on who computes them or in which order they are finished. Shapes: N points in S
shards, n of them in one, D feature dimension, K clusters.

Sources: Lloyd 1982, "Least squares quantization in PCM"; Bradley & Fayyad 1998, "Refining initial points for K-means
clustering", for starts from a sample. Measured beside mini-batches: docs/log/attempts-feature-vectors.md.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from kmpl.method.kmeans import check_n_clusters, kmeans
from kmpl.runtime.devices import cores
from kmpl.runtime.seeds import derive

R = TypeVar("R")
Shards = Sequence[np.ndarray]
"""Features (n, D) of each shard, in any precision; whoever holds them may read a shard from disk when it is asked."""

PASSES = 8
"""Passes over all points after the start, at most."""
_SAMPLE_PER_CLUSTER = 40
_SMALLEST_SAMPLE = 4_000
_BLOCK_POINTS = 2_048
_SETTLED = 1e-4  # relative gain of a pass below which there is no further one


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sums:
    """What one shard says of given centroids."""

    sums: np.ndarray
    counts: np.ndarray
    inertia: float


def n_points(shards: Shards) -> int:
    """Return N."""
    return sum(len(shard) for shard in shards)


def draw(shards: Shards, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (M, D) float32 of points drawn without replacement, and their indices (M,), in rising order.

    Args:
        shards: the features.
        size: M; all points, where there are no more.
        seed: of the draw.
    """
    sizes = np.array([len(shard) for shard in shards])
    total = int(sizes.sum())
    chosen = np.arange(total)
    if size < total:
        chosen = np.sort(np.random.default_rng(derive(seed, "draw")).choice(total, size, replace=False))
    return rows(shards, chosen), chosen


def rows(shards: Shards, indices: np.ndarray) -> np.ndarray:
    """Return the features (M, D) float32 of points by their indices, which rise."""
    ends = np.cumsum([len(shard) for shard in shards])
    parts = np.split(indices, np.searchsorted(indices, ends[:-1]))
    starts = np.concatenate([[0], ends[:-1]])
    found = [
        np.asarray(shard[part - start], dtype=np.float32)
        for shard, part, start in zip(shards, parts, starts, strict=True)
        if len(part)
    ]
    return np.concatenate(found) if found else np.empty((0, shards[0].shape[1]), dtype=np.float32)


def kmeans_of_shards(shards: Shards, n_clusters: int, *, seed: int, passes: int = PASSES) -> np.ndarray:
    """Return the centroids (K, D) float32 of K-means over all shards.

    It starts from the K-means of a sample of forty points a cluster, which is why a few passes are enough.

    Args:
        shards: the features.
        n_clusters: K, at most N; fewer come back where there are fewer distinct points.
        seed: of the sample and of the starts.
        passes: over all points, at most.

    Raises:
        SettingError: fewer than one or more than N clusters.
    """
    total = n_points(shards)
    check_n_clusters(n_clusters, total)
    sample, _ = draw(shards, max(_SAMPLE_PER_CLUSTER * n_clusters, _SMALLEST_SAMPLE), seed)
    centroids = kmeans(sample, n_clusters, seed=seed).centroids.astype(np.float32)
    last = np.inf
    for _ in range(passes):
        sums, counts, inertia = _added(shards, centroids)
        centroids = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids).astype(np.float32)
        if last - inertia <= _SETTLED * inertia:
            break
        last = inertia
    return centroids


def inertia_of(shards: Shards, centroids: np.ndarray) -> float:
    """Return the sum of squared distances of all points to their nearest centroid."""
    return _added(shards, centroids)[2]


def nearest(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the index (n,) int64 of the centroid nearest to each point of one shard (n, D)."""
    return nearest_and_distance(features, centroids)[0]


def nearest_and_distance(features: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centroid of each point of one shard, (n,) int64, and its squared distance (n,)."""
    parts = [(found, distances) for _, found, distances in _blocks(features, centroids)]
    none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    found, distances = zip(*parts, strict=True) if parts else ([none[0]], [none[1]])
    return np.concatenate(found), np.concatenate(distances)


def each(work: Callable[..., R], *shards: Sequence[Any]) -> Iterator[R]:
    """Yield what some work gives for each shard, in the shards' order; several threads, each shard on one.

    At most twice as many shards as there are threads are in memory.

    Args:
        work: takes what each of the sequences has of a shard.
        shards: sequences of equal length.
    """
    numbers = range(len(shards[0]))
    n_threads = min(cores(), len(numbers))
    with threadpool_limits(1):
        if n_threads < 2:
            yield from (work(*(one[i] for one in shards)) for i in numbers)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            for start in range(0, len(numbers), 2 * n_threads):
                some = [[one[i] for i in numbers[start : start + 2 * n_threads]] for one in shards]
                yield from pool.map(work, *some)


def split(values: np.ndarray, shards: Shards) -> list[np.ndarray]:
    """Return values (N,) of all points as those of each shard, (n,)."""
    return np.split(values, np.cumsum([len(shard) for shard in shards])[:-1])


def _added(shards: Shards, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return sums (K, D) and numbers (K,) of the points nearest to each centroid, and the inertia."""
    sums = np.zeros(centroids.shape)
    counts = np.zeros(len(centroids), dtype=np.int64)
    inertia = 0.0
    for part in each(lambda shard: _of_shard(shard, centroids), shards):
        sums += part.sums
        counts += part.counts
        inertia += part.inertia
    return sums, counts, inertia


def _of_shard(features: np.ndarray, centroids: np.ndarray) -> _Sums:
    k = len(centroids)
    sums = np.zeros(centroids.shape)
    counts = np.zeros(k, dtype=np.int64)
    inertia = 0.0
    for block, found, distances in _blocks(features, centroids):
        n = len(block)
        members = csr_array((np.ones(n, dtype=np.float32), found, np.arange(n + 1)), shape=(n, k))
        sums += members.T @ block
        counts += np.bincount(found, minlength=k)
        inertia += float(distances.sum(dtype=np.float64))
    return _Sums(sums=sums, counts=counts, inertia=inertia)


def _blocks(features: np.ndarray, centroids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield points in blocks (float32), the centroid nearest to each, and its squared distance."""
    across = np.ascontiguousarray(centroids.T)
    half = np.square(centroids).sum(axis=1) / 2
    for start in range(0, len(features), _BLOCK_POINTS):
        block = np.asarray(features[start : start + _BLOCK_POINTS], dtype=np.float32)
        near = block @ across
        near -= half
        found = near.argmax(axis=1)
        best = near[np.arange(len(block)), found]
        yield block, found, np.maximum(np.square(block).sum(axis=1) - 2 * best, 0.0)
