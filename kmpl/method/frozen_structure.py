"""What frozen features look like, whatever the labels: nearest neighbours and clusterings, found once for all votes."""

from dataclasses import replace

from kmpl.datasets.types import FrozenFeatures
from kmpl.method.cluster_ensemble import NEIGHBOURS, clusterings, neighbour_graph


def with_structure(frozen: FrozenFeatures, seed: int) -> FrozenFeatures:
    """Return the same features with their graph of nearest neighbours and their clusterings.

    Args:
        frozen: features of all images.
        seed: of the clusterings.
    """
    if len(frozen.values) < 2:
        return frozen
    return replace(
        frozen,
        graph=neighbour_graph(frozen.values, NEIGHBOURS),
        clusterings=tuple(clusterings(frozen.values, seed=seed)),
    )
