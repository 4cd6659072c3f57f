"""The steps on frozen features: nothing but a linear classifier is trained, in about a second.

Shapes: N images, D feature dimension, C classes.
"""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from kmpl.config.experiment import PseudoLabelling
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.method.pseudo_labels import Evidence, assign
from kmpl.method.results import PseudoLabels, Voted
from kmpl.method.step_inputs import RetrainInput, RoundInput, StepInput
from kmpl.models.backbones.backbone import Backbone
from kmpl.models.frozen_network import FrozenNetwork
from kmpl.training.history import Epoch, Fit

STRENGTH = 100.0
"""Inverse strength of the classifier's penalty; docs/log/attempts-pictures.md has the others."""
_ITERATIONS = 1_000
_SMALLEST = np.finfo(np.float32).tiny
_ABSENT = -30.0  # bias of a class that has no label: e^-30 of the others' probability


def pretrain(inputs: StepInput) -> Fit:
    """Train a classifier on the labelled images alone."""
    return _train(inputs, inputs.pool.labels, np.where(inputs.pool.labelled, _certainty(inputs.pool), 0.0))


def _certainty(pool: Pool) -> np.ndarray:
    """Return the weight of each image's given label, (N,)."""
    return np.ones(len(pool.labels)) if pool.certainty is None else pool.certainty


def pseudo_label(inputs: RoundInput, seed: int) -> Voted:
    """Vote on all images; the features are those of the first round, and ``seed`` is of the round's clustering."""
    begin = time.perf_counter()
    features = _features(inputs)
    probabilities = _network(inputs.fit).probabilities(features)
    evidence = Evidence(
        features=features,
        probabilities=probabilities,
        labels=inputs.pool.labels,
        clustering=inputs.config.clustering,
        settings=inputs.config.pseudo_labels,
        seed=seed,
        previous=inputs.previous.clusters if inputs.previous else None,
        frozen=inputs.pool.frozen,
        certainty=inputs.pool.certainty,
    )
    labels = assign(evidence, inputs.previous, inputs.number)
    seconds = {"cluster and vote": time.perf_counter() - begin}
    return Voted(features=features, labels=labels, seconds=seconds, probabilities=probabilities)


def retrain(inputs: RetrainInput) -> Fit:
    """Train a classifier on all images that have a label, given or assigned."""
    weights = weights_of(inputs.labels, inputs.pool.labelled, inputs.config.pseudo_labels)
    return _train(inputs, inputs.labels.classes, weights)


def weights_of(labels: PseudoLabels, labelled: np.ndarray, settings: PseudoLabelling) -> np.ndarray:
    """Return the weight of each image in the training of the classifier, (N,); 0 = left out.

    Args:
        labels: given and assigned.
        labelled: (N,) bool, the label is given.
        settings: of pseudo-labelling.
    """
    weights = np.where(labels.kept, labels.confidence if settings.weighted else 1.0, 0.0)
    assigned = weights[~labelled].sum()
    share = settings.labelled_share
    times = max(1.0, share / (1 - share) * assigned / labelled.sum())
    weights[labelled] = times * labels.confidence[labelled]  # less than one where nobody looked at the image
    return weights


def _train(inputs: StepInput, labels: np.ndarray, weights: np.ndarray) -> Fit:
    """Train a classifier on the images whose weight is not 0; labels (N,), weights (N,)."""
    begin = time.perf_counter()
    pool = inputs.pool
    assert pool.frozen is not None, "the pool has features of a backbone"
    used = (weights > 0) & (labels != UNLABELLED)
    features = pool.frozen.values
    network = FrozenNetwork(
        pool.frozen.backbone, dimension=features.shape[1], n_classes=len(pool.classes), root=pool.frozen.root
    )
    if isinstance(pool.frozen.backbone, Backbone):
        network.head.to(pool.frozen.backbone.mean.device)  # where the images went
    network.set_head(*fit_head(features[used], labels[used], weights[used], n_classes=len(pool.classes)))
    loss, accuracy = _score(network, features[used], labels[used], weights[used])
    validation_loss, validation_accuracy = _score(network, pool.frozen.validation, pool.validation_labels)
    seconds = time.perf_counter() - begin
    epoch = Epoch(
        number=1,
        loss=loss,
        accuracy=accuracy,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
        learning_rate=0.0,
        seconds=seconds,
    )
    return Fit(
        network=network,
        history=(epoch,),
        kept_epoch=1,
        stop_reason="last epoch",
        images=int(used.sum()),
        seconds=seconds,
    )


def fit_head(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, *, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (C, D) and bias (C,), float32, of logistic regression.

    Args:
        features: (N, D) of length one.
        labels: (N,) classes; one that is absent gets no image.
        weights: (N,) of the images.
        n_classes: C.
    """
    weight = np.zeros((n_classes, features.shape[1]), dtype=np.float32)
    bias = np.full(n_classes, _ABSENT, dtype=np.float32)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0.0
        return weight, bias
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # one label of a class is enough
        model = LogisticRegression(C=STRENGTH, max_iter=_ITERATIONS)
        model.fit(features.astype(np.float64), labels, sample_weight=weights)
    if len(present) == 2:  # scikit-learn gives the second class's odds
        weight[present] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[present] = model.coef_
        bias[present] = model.intercept_
    return weight, bias


def _score(
    network: FrozenNetwork, features: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy; NaN of no image."""
    if not len(labels):
        return float("nan"), float("nan")
    probabilities = network.probabilities(features)
    surprise = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST))
    right = probabilities.argmax(axis=1) == labels
    return float(np.average(surprise, weights=weights)), float(np.average(right, weights=weights))


def _features(inputs: StepInput) -> np.ndarray:
    assert inputs.pool.frozen is not None, "the pool has features of a backbone"
    return inputs.pool.frozen.values


def _network(fit: Fit) -> FrozenNetwork:
    assert isinstance(fit.network, FrozenNetwork), "a classifier on frozen features"
    return fit.network
