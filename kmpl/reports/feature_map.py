"""The map of features: a t-SNE of one round's features, with pseudo-labels by colour. Shapes: N images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from kmpl.method.results import Round
from kmpl.reports.figures import COLOURS, bare, canvas

_MAX_POINTS = 2_000  # more make the map no clearer, and t-SNE slow
_MAX_CENTROIDS = 150


def feature_map(
    round_: Round, *, labels: np.ndarray, right: np.ndarray, classes: Sequence[str], seed: int = 0
) -> Figure:
    """Return the features in two dimensions (t-SNE of a sample): pseudo-labels by colour, wrong ones ringed.

    Args:
        round_: the round to show.
        labels: (N,) given labels, −1 = unlabelled.
        right: (N,) bool: the guess is the true class; diagnostics, for the picture only.
        classes: names.
        seed: of the sample and of the map.
    """
    rng = np.random.default_rng(seed)
    pseudo = round_.pseudo_labels
    features = round_.features
    shown = np.sort(rng.permutation(len(labels))[:_MAX_POINTS])
    centroids = pseudo.clusters.centroids if pseudo.clusters else np.empty((0, features.shape[1]))
    n_centroids = len(centroids)
    centroids = rng.permutation(centroids)[:_MAX_CENTROIDS]
    # The full decomposition, scikit-learn's choice at these sizes, takes as long as t-SNE itself.
    pca = PCA(min(30, features.shape[1]), svd_solver="covariance_eigh")
    flat = pca.fit_transform(np.concatenate([features[shown], centroids]))
    positions = TSNE(2, random_state=seed, init="pca", perplexity=30, max_iter=500).fit_transform(flat)
    points = positions[: len(shown)]
    centres = positions[len(shown) :]
    figure, axes = canvas(1, 1, 9, 7.5)
    _draw_points(
        axes[0, 0],
        points,
        pseudo.classes[shown],
        labelled=labels[shown] >= 0,
        right=right[shown],
        names=classes,
    )
    if len(centres):
        x, y = centres.T
        label = f"centroid ({len(centres)} of {n_centroids})"
        axes[0, 0].scatter(x, y, marker="+", c="black", s=28, lw=0.8, label=label)
    diagnostics = round_.diagnostics
    counts = f"{diagnostics.coverage:.1%} of the unlabelled images kept, {diagnostics.accuracy:.2%} of these right"
    bare(axes[0, 0], f"features in round {round_.number} ({len(shown):,} of {len(labels):,} images): {counts}")
    axes[0, 0].set_axis_off()
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return figure


def _draw_points(
    axes: Axes,
    points: np.ndarray,
    classes: np.ndarray,
    *,
    labelled: np.ndarray,
    right: np.ndarray,
    names: Sequence[str],
) -> None:
    left_out = classes < 0
    x, y = points[left_out].T
    axes.scatter(x, y, c="#BBBBBB", marker="x", s=14, lw=0.8, label="left out")
    for c in np.unique(classes[~left_out]):
        members = classes == c
        x, y = points[members].T
        axes.scatter(x, y, color=COLOURS[c % len(COLOURS)], s=9, label=f"class {names[c]}")
    x, y = points[~left_out & ~right & ~labelled].T
    axes.scatter(x, y, facecolors="none", edgecolors="#D00000", s=60, lw=1.3, label="wrong pseudo-label")
    x, y = points[labelled].T
    axes.scatter(x, y, facecolors="none", edgecolors="black", marker="s", s=30, lw=1.0, label="given label")
