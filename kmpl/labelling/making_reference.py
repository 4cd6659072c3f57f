"""Make what a labelling keeps of its images (``kmpl.labelling.reference``).

Shapes: N images, C classes, K clusters, D feature dimension.
"""

import numpy as np
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.cross_fitting import in_folder_order
from kmpl.labelling.job import Job
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.reference import About, Reference, Source, distances, score_of
from kmpl.method.frozen_steps import fit_head, weights_of
from kmpl.method.kmeans import kmeans
from kmpl.method.results import Labelling
from kmpl.models.embedding import embed
from kmpl.models.frozen_network import FrozenNetwork
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.runtime.seeds import derive

_FOLDS = 5  # of classifiers
_FOLDS_OF_CLUSTERING = 10  # with fewer, the centroids of so much fewer images lie farther
_ALL_FOLDS_UP_TO = 2_500  # images; of more, one fold is enough, and all would take minutes
_MOST_FEATURES = 2_000


def reference_of(job: Job, labelling: Labelling, table: LabelTable, source: Source) -> Reference:
    """Return what a labelling keeps of its images.

    Args:
        job: the folder and its settings.
        labelling: the result of the method; its network is the model.
        table: the labels of all images.
        source: where labels were read and written.
    """
    pool = job.pool
    frozen = job.folder.frozen
    weight, bias = np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32)
    if frozen:
        features = frozen.values
        weight, bias = _head(labelling.pretrained.network)
        known, probabilities = _unknowing(job, labelling, frozen)
    else:
        network = RawImageClassifier(labelling.fit.network, size=pool.seen_side).network  # as it will predict
        features, probabilities = embed(network, job.folder.images)
        known = np.ones(len(features), dtype=bool)
    unlabelled = ~table.given & known
    score = score_of(probabilities, features, weight, bias, table.guesses)[unlabelled]
    fit = IsotonicRegression(out_of_bounds="clip").fit(score, table.confidence[unlabelled])
    clusters = labelling.vote.labels.clusters if frozen else None
    seed = derive(job.options.seed, "reference")
    ours = clusters or kmeans(features, min(job.config.clustering.n_clusters, len(features)), seed=seed)
    kept = _sample(job.folder.labels, seed) if frozen else np.zeros(0, dtype=np.int64)
    return Reference(
        about=_about(job, table, source),
        digests=np.frombuffer(bytes.fromhex("".join(job.folder.digests)), dtype=np.uint8).reshape(-1, 32),
        centroids=ours.centroids.astype(np.float32),
        is_shown=np.array([clusters is not None], dtype=np.uint8),
        distances=_distances_of_others(features, len(ours.centroids), seed=seed).astype(np.float32),
        scores=fit.X_thresholds_,
        confidences=fit.y_thresholds_,
        sure=fit.predict(score),
        judge_weight=weight,
        judge_bias=bias,
        features=features[kept].astype(np.float16),
        labels=job.folder.labels[kept],
    )


def _distances_of_others(features: np.ndarray, n_clusters: int, *, seed: int) -> np.ndarray:
    """Return the distances of images, (M,), from the nearest centroid of a clustering of the other images.

    Args:
        features: (N, D).
        n_clusters: of each clustering.
        seed: deals the images to folds.
    """
    n = len(features)
    fold = np.random.default_rng(seed).permutation(n) % _FOLDS_OF_CLUSTERING
    found = []
    for number in range(_FOLDS_OF_CLUSTERING if n <= _ALL_FOLDS_UP_TO else 1):
        others, held_out = features[fold != number], features[fold == number]
        if len(others) and len(held_out):
            centroids = kmeans(others, min(n_clusters, len(others)), seed=derive(seed, "fold", number)).centroids
            found.append(distances(held_out, centroids).min(axis=1))
    return np.concatenate([np.zeros(0), *found])


def _about(job: Job, table: LabelTable, source: Source) -> About:
    choice = table.choice
    return About(
        files=job.folder.files,
        classes=job.folder.classes,
        given=int(table.given.sum()),
        named=tuple(np.bincount(table.guesses[~table.given], minlength=len(job.folder.classes)).tolist()),
        threshold=choice.threshold,
        expected=_finite(choice.expected_accuracy),
        expected_of_all=_finite(choice.expected_accuracy_of_all),
        has_confidence=table.has_confidence,
        guarantee=job.options.guarantee is not None,
        precision=job.options.precision,
        source=source,
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _head(network: object) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(network, FrozenNetwork), "a classifier on frozen features"
    return network.head.weight.cpu().numpy(), network.head.bias.cpu().numpy()


def _unknowing(job: Job, labelling: Labelling, frozen: FrozenFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Return which images are judged, (N,) bool, and class probabilities (N, C) by classifiers that did not know them.

    They learn from the final labels of four fifths of the images, and are as sure as the model is made to be.
    """
    pool = job.pool
    n, n_classes = len(frozen.values), len(job.folder.classes)
    classes, weights = pool.labels, pool.labelled.astype(float)
    last = labelling.pretrained.network
    if labelling.rounds:
        labels = labelling.rounds[-1].pseudo_labels
        classes, weights = labels.classes, weights_of(labels, pool.labelled, job.config.pseudo_labels)
        last = labelling.rounds[-1].fit.network
    classes, weights = in_folder_order(pool, classes), in_folder_order(pool, weights)
    temperature = _size(last) / max(_size(labelling.fit.network), 1e-12)
    fold = np.random.default_rng(derive(job.options.seed, "reference")).permutation(n) % _FOLDS
    known = np.zeros(n, dtype=bool)
    probabilities = np.full((n, n_classes), 1 / n_classes, dtype=np.float32)
    for number in range(_FOLDS if n <= _ALL_FOLDS_UP_TO else 1):
        out = fold == number
        used = ~out & (weights > 0) & (classes != UNLABELLED)
        if not used.any():
            continue
        weight, bias = fit_head(frozen.values[used], classes[used], weights[used], n_classes=n_classes)
        probabilities[out] = softmax((frozen.values[out] @ weight.T + bias) / temperature, axis=1)
        known |= out
    return known, probabilities


def _size(network: object) -> float:
    return float(np.linalg.norm(_head(network)[0]))


def _sample(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return images whose features are kept: those with a given label first, then any, sorted."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order] == UNLABELLED, kind="stable")]
    return np.sort(order[:_MOST_FEATURES])
