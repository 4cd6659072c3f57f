"""The clusters that a person is shown: those of a round, and the parts of one that is split. D feature dimension."""

import numpy as np

from kmpl.config.labelling import clusters_for
from kmpl.errors import UserError
from kmpl.method.kmeans import kmeans
from kmpl.runtime.seeds import derive

_RESTARTS = 3


def make_clusters(
    features: np.ndarray, members: np.ndarray, *, n_clusters: int | None, seed: int, number: int
) -> list[np.ndarray]:
    """Return the clusters of a round, each the indices of its images; the same seed gives the same clusters.

    Without a number of clusters there are 2 √N, as in ``kmpl label``. With twice as many, a person who names what is
    four fifths of one class names a tenth more of all images, with 2.3 times as many keys: more is gained by
    splitting, and by a next round with what is left (docs/log/attempts-pictures.md).

    Args:
        features: (N, D) of all images.
        members: indices of the images that are clustered.
        n_clusters: None = by their number.
        seed: of K-means.
        number: of the round.
    """
    k = min(n_clusters or clusters_for(len(members), 1), len(members))
    clusters = kmeans(features[members], k, seed=derive(seed, "review", number), restarts=_RESTARTS)
    return [members[clusters.assignment == c] for c in range(len(clusters.centroids))]


def split(features: np.ndarray, members: np.ndarray, *, seed: int) -> list[np.ndarray]:
    """Return the two parts of a cluster, the larger first.

    Args:
        features: (N, D) of all images.
        members: indices of the cluster's images.
        seed: of K-means.

    Raises:
        UserError: fewer than two images, or all have the same features.
    """
    if len(members) < 2:
        raise UserError("a cluster of one image cannot be split")
    parts = kmeans(features[members], 2, seed=derive(seed, "split"), restarts=_RESTARTS)
    if len(parts.centroids) < 2:
        raise UserError(f"the {len(members)} images of this cluster have the same features: it cannot be split")
    return sorted((members[parts.assignment == part] for part in (0, 1)), key=len, reverse=True)
