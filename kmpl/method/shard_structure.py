"""What features in shards look like, whatever the labels: clusterings, and a graph of clusters, found once.

As ``kmpl.method.frozen_structure`` for features that fit memory, with two changes. Clusterings are found on a sample,
whose clusters all images join; where the sample is the whole folder they are the same. And the graph is one of
clusters, not of images. Shapes: N images, n of them in a shard, D feature dimension, E clusterings, K clusters in one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from kmpl.datasets.feature_shards import ShardFolder
from kmpl.method.cluster_ensemble import NEIGHBOURS, fit_reduction, numbers_of_clusters, reduced
from kmpl.method.cluster_graph import links
from kmpl.method.kmeans import kmeans
from kmpl.method.results import Clusters
from kmpl.method.shard_kmeans import Shards, draw, each, kmeans_of_shards, n_points, nearest
from kmpl.runtime.seeds import derive

SAMPLE_IMAGES = 10_000
"""Images on which the clusterings are found."""
SHOWN = 0
"""Column of the clusters that people see; those of the ensemble follow."""
_GRAPHS = 4  # finest clusterings of the ensemble; one alone is half a point to a point worse


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardStructure:
    """The features of all images, their clusters, and the graphs of the finest clusters."""

    features: Shards
    """(n, D) of each shard."""
    assignments: Shards
    """(n, 1 + E) uint16 of each shard: the cluster that is shown, and that of each of the ensemble's clusterings."""
    sizes: tuple[int, ...]
    """K of each column."""
    graphs: dict[int, csr_array]
    """How closely clusters touch, (K, K), by the column of their clustering."""


@dataclass(frozen=True, slots=True)
class _Centres:
    """Centroids of all clusterings of the ensemble, and the space that they are in."""

    reduction: PCA | None
    centroids: tuple[np.ndarray, ...]


def find_structure(features: Shards, *, n_clusters: int, seed: int, folder: ShardFolder) -> ShardStructure:
    """Return the structure of features; what grows with N is written into a folder.

    Args:
        features: (n, D) of each shard, of length one or rotated.
        n_clusters: of the clustering that is shown.
        seed: of all clusterings.
        folder: for the assignments.
    """
    total = n_points(features)
    shown = kmeans_of_shards(features, min(n_clusters, total), seed=seed)
    centres = _ensemble(features, total, seed)
    every = (shown, *centres.centroids)

    def assigned(shard: np.ndarray) -> np.ndarray:
        small = reduced(np.asarray(shard, dtype=np.float32), centres.reduction)
        columns = [nearest(shard, shown), *(nearest(small, each_of) for each_of in centres.centroids)]
        return np.stack(columns, axis=1).astype(np.uint16)

    assignments = folder.write("clusters", each(assigned, features))
    finest = range(len(every) - _GRAPHS, len(every))
    graphs = {column: _graph(features, every[column], centres.reduction) for column in finest}
    return ShardStructure(features=features, assignments=assignments, sizes=tuple(map(len, every)), graphs=graphs)


def _ensemble(features: Shards, total: int, seed: int) -> _Centres:
    sample, _ = draw(features, SAMPLE_IMAGES, derive(seed, "sample"))
    reduction = fit_reduction(sample)
    small = reduced(sample, reduction)
    centroids = []
    for size, start, number in numbers_of_clusters(total):
        found = kmeans(small, min(number, len(small)), seed=derive(seed, "ensemble", size, start))
        centroids.append(found.centroids.astype(np.float32))
    return _Centres(reduction, tuple(centroids))


def _graph(features: Shards, centroids: np.ndarray, reduction: PCA | None) -> csr_array:
    """Return how closely clusters touch, (K, K): the sum of what each shard says."""
    clusters = Clusters(assignment=np.empty(0, dtype=np.int64), centroids=centroids, inertia=0.0)

    def part(shard: np.ndarray) -> csr_array:
        return links(clusters, reduced(np.asarray(shard, dtype=np.float32), reduction), NEIGHBOURS)

    parts: Iterator[csr_array] = each(part, features)
    graph = next(parts)
    for more in parts:
        graph = graph + more
    return csr_array(graph)
