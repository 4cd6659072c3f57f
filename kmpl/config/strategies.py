"""The strategies that assign pseudo-labels. A new one is a function ``Evidence → Guess`` and one line here."""

from dataclasses import dataclass, field
from typing import Literal

from kmpl.config.choices import Choice, by_name


@dataclass(frozen=True, slots=True)
class Strategy(Choice):
    """Who assigns pseudo-labels: a function of ``kmpl.method.pseudo_labels.Evidence`` that gives a ``Guess``."""

    needs: Literal["clusters", "prototypes"] | None = field(default=None, kw_only=True)
    """What must fit the pool: ``clustering.n_clusters`` of all images, or ``clustering.n_prototypes`` of the labelled
    ones and ``pseudo_labels.k`` of these. More than there can be is refused before any work."""
    propagates: bool = field(default=False, kw_only=True)
    """Labels that are few for the clusters spread from cluster to cluster, whatever the network thinks. Only then is it
    worth learning features without labels for the first round."""


STRATEGIES = by_name(
    Strategy(
        "cluster-graph",
        "kmpl.method.pseudo_labels:cluster_graph",
        "labels spread from cluster to cluster",
        needs="clusters",
        propagates=True,
    ),
    Strategy(
        "cluster-ensemble",
        "kmpl.method.cluster_ensemble:cluster_ensemble",
        "network, nearest images and many clusterings judge together",
        needs="clusters",
    ),
    Strategy("consensus", "kmpl.method.pseudo_labels:consensus", "cluster and network must agree", needs="clusters"),
    Strategy("cluster-vote", "kmpl.method.pseudo_labels:cluster_vote", "members of a cluster vote", needs="clusters"),
    Strategy("prototype-knn", "kmpl.method.pseudo_labels:prototype_knn", "nearest prototypes vote", needs="prototypes"),
    Strategy("self-training", "kmpl.method.pseudo_labels:self_training", "the network alone"),
    Strategy("label-spreading", "kmpl.method.pseudo_labels:label_spreading", "over the graph of nearest images"),
)
