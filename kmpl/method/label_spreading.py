"""Label spreading over the graph of nearest images, until every image that a label can reach is reached.

Shapes: N images, D feature dimension, C classes.
"""

import warnings

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading
from threadpoolctl import threadpool_limits

from kmpl.datasets.types import UNLABELLED

_NEIGHBOURS = 7  # scikit-learn's own choice; with the few that vote in a cluster the graph falls to pieces
_ALPHA = 0.9  # of what an image hears from its neighbours
_ITERATIONS_AFTER = 200  # an image is reached: what its shares then still lack is at most 0.9^200, a billionth


def spread_over_images(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes that have a label, (C',), and what reaches each image of them: (N, C') shares that sum to one.

    It is scikit-learn's LabelSpreading on the graph of seven nearest neighbours (sparse, never N × N), with as many
    iterations as the farthest image needs. scikit-learn itself (1.9.1) stops where the shares of all images together
    change by less than ``tol``, and says nothing of images that no label has reached by then: they have a row of zeros
    and are called the first class. By its defaults (alpha 0.2, tol 0.001) that is after 6 iterations: of 3,000 digits
    with ten labels, in one connected component, 242 and 609 images are not reached (two draws).

    An image that no label reaches has a row of zeros here too: whoever reads the shares must tell it from an image of
    the first class.

    Args:
        features: (N, D).
        labels: (N,) classes, −1 = unlabelled; at least one label.

    Source: Zhou et al. 2004, "Learning with local and global consistency".
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # iterations are counted, not judged by a tolerance
        graph = _graph(features)
        iterations = _longest_way(graph, labels) + _ITERATIONS_AFTER
        model = LabelSpreading(kernel=lambda *_: graph, alpha=_ALPHA, max_iter=iterations, tol=0.0)
        model.fit(features, labels)
    return model.classes_, model.label_distributions_


def _graph(features: np.ndarray) -> csr_array:
    """Return which images are the nearest to an image, (N, N) with a row for each, as LabelSpreading makes it."""
    n_neighbours = min(_NEIGHBOURS + 1, len(features))  # the graph counts each image as its own first neighbour
    return NearestNeighbors(n_neighbors=n_neighbours).fit(features).kneighbors_graph(features, mode="connectivity")


def _longest_way(graph: csr_array, labels: np.ndarray) -> int:
    """Return the number of steps from a label to the farthest image that any label reaches.

    An image hears from its nearest images, which need not hear from it: a step goes against the graph's arrows.
    """
    given = np.flatnonzero(labels != UNLABELLED)
    steps = dijkstra(graph.T.tocsr(), indices=given, unweighted=True, min_only=True)
    return int(steps[np.isfinite(steps)].max())
