"""Doubts about single images: given labels that look like another class, and images unlike anything labelled.

Nothing is changed by a doubt: it is written beside the image, for a person to look at. Shapes: N images, L given
labels.

Source: Vovk et al. 2005, "Algorithmic learning in a random world", for ranks among given labels.
Measured: docs/log/attempts-pictures.md.
"""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED
from kmpl.labelling.judges import Judgement

_RARE = 0.05
"""Share of given labels that are as far from the others, at most."""
_NEIGHBOURS = 10


def suspects(images: np.ndarray, guesses: np.ndarray, labels: np.ndarray, judgement: Judgement) -> dict[int, int]:
    """Return given labels that look like another class: index of the image → that class.

    Classifier and graph, which did not know the label, name the same other class, and with the clusters they give it
    more than half. Of an image whose cluster was named they may know the other members, and still they contradict where
    single labels do; judges that knew single labels alone named wrong ones in two of three cases
    (docs/log/attempts-labelling.md).

    Args:
        images: (L,) indices of images with a hidden label.
        guesses: (L,) classes by the method, without it.
        labels: (L,) the hidden labels.
        judgement: of these images.
    """
    doubtful = (guesses != labels) & judgement.agree & (judgement.odds > 0)
    return {int(i): int(guess) for i, guess in zip(images[doubtful], guesses[doubtful], strict=True)}


def unlike(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which unlabelled images are farther from every given label than given labels are from each other, (N,).

    Distances are taken relative to that of the tenth neighbour: in a sparse region nothing is near.

    Args:
        features: (N, D).
        labels: (N,), −1 = unlabelled.
    """
    given = np.flatnonzero(labels != UNLABELLED)
    rest = np.flatnonzero(labels == UNLABELLED)
    found = np.zeros(len(labels), dtype=bool)
    if len(given) < 1 / _RARE or len(labels) <= _NEIGHBOURS:
        return found
    with threadpool_limits(1):
        near = NearestNeighbors(n_neighbors=_NEIGHBOURS + 1, algorithm="brute").fit(features)
        sparse = near.kneighbors(features)[0][:, -1]
        among = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(features[given]).kneighbors(features[given])[0]
        nearest = pairwise_distances_argmin_min(features[rest], features[given])[1]
    usual = np.sort(among[:, 1] - sparse[given])
    as_far = len(usual) - np.searchsorted(usual, nearest - sparse[rest], side="left")
    found[rest] = (1 + as_far) / (len(usual) + 1) <= _RARE
    return found
