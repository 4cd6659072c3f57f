"""What speaks for the labels of a folder in shards before any label is hidden: what ``kmpl.labelling.judges`` asks.

Shapes: N images, n of them in a shard.
"""

import numpy as np

from kmpl.datasets.types import UNLABELLED
from kmpl.labelling.judges import REDRAWS, Grounds, drawn_anew, support_of
from kmpl.method.shard_kmeans import each, split
from kmpl.method.shard_structure import ShardStructure
from kmpl.method.shard_votes import Labels, ShardModel, first_model
from kmpl.runtime.seeds import derive


def grounds_of(
    structure: ShardStructure, labels: Labels, named: np.ndarray, *, asked: np.ndarray, seed: int
) -> Grounds:
    """Return what speaks for the labels of the unlabelled images.

    Args:
        structure: of all images.
        labels: that the judges may know.
        named: (N,) class that each image was named.
        asked: (N,) bool, images whose labels are meant.
        seed: of the drawing.
    """
    support = _support(structure, first_model(structure, labels, seed), named)
    unlabelled = labels.classes == UNLABELLED
    counts = np.bincount(labels.classes[~unlabelled], minlength=labels.n_classes)
    rng = np.random.default_rng(derive(seed, "other examples"))
    same = []
    for _ in range(REDRAWS):
        others = drawn_anew(np.where(unlabelled, named, UNLABELLED), counts, support, rng)
        certainty = np.ones(len(others))
        anew = Labels(classes=others, certainty=certainty, n_classes=labels.n_classes)
        alike = _alike(structure, first_model(structure, anew, seed), named)
        seen = asked & (others == UNLABELLED)
        same.append(alike[seen if seen.any() else asked].mean())
    return Grounds(support=float(support[asked].mean()), stability=float(np.mean(same)))


def _support(structure: ShardStructure, model: ShardModel, named: np.ndarray) -> np.ndarray:
    """Return what the judges give the class that each image was named, (N,)."""

    def support(features: np.ndarray, assignments: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return support_of(model.opinions(features, assignments), classes)

    return np.concatenate(
        list(each(support, structure.features, structure.assignments, split(named, structure.features)))
    )


def _alike(structure: ShardStructure, model: ShardModel, named: np.ndarray) -> np.ndarray:
    """Return which images the judges together name alike, (N,) bool."""

    def alike(features: np.ndarray, assignments: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.asarray(model.vote(features, assignments).argmax(axis=1) == classes)

    return np.concatenate(
        list(each(alike, structure.features, structure.assignments, split(named, structure.features)))
    )
