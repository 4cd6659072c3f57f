"""The labels of a folder whose features are in shards, and what to expect of them.

What ``kmpl.labelling.job`` does in memory, image by image in the same words: one round of votes, labels hidden in
turn, three judges and hits that say how sure a label is. Shapes: N images, n of them in a shard, C classes.
"""

from dataclasses import dataclass, replace

import numpy as np

from kmpl.datasets.folder_pool import UNCHECKED_WEIGHT, folds
from kmpl.datasets.types import UNLABELLED
from kmpl.labelling.agreement import calibrate, expected_accuracy, temperature_for
from kmpl.labelling.cross_fitting import CrossFit
from kmpl.labelling.doubts import suspects
from kmpl.labelling.job import Job, with_threshold
from kmpl.labelling.judges import Judgement, joined, judgement_of
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.shard_grounds import grounds_of
from kmpl.labelling.thresholds import HiddenLabels, unchecked_threshold
from kmpl.method.shard_kmeans import draw, each, rows
from kmpl.method.shard_structure import SHOWN, ShardStructure
from kmpl.method.shard_votes import Labels, ShardModel, fit

_TEMPERED_BY = 20_000  # images, at most, on which the classifier's certainty is set


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLabelling:
    """All labels, and the classifier that gave them."""

    table: LabelTable
    weight: np.ndarray
    """(C, P) of the classifier, as sure on average as its labels are right."""
    bias: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class _Named:
    """What a model says of images."""

    classes: np.ndarray
    confidence: np.ndarray
    voted: np.ndarray
    """bool: the vote named the same class, and kept it."""
    clusters: np.ndarray
    judgement: Judgement


def label_shards(job: Job, structure: ShardStructure) -> ShardLabelling:
    """Return labels of all images.

    Args:
        job: the folder, without pictures or features, and its settings.
        structure: of the features of its files, in their order.
    """
    folder, seed = job.folder, job.options.seed
    labels = _labels(job)
    model = fit(structure, labels, job.config.pseudo_labels, seed)
    named = _all_named(structure, model, job.config.pseudo_labels.threshold)
    given = folder.labels != UNLABELLED
    table = LabelTable(
        folder=folder,
        guesses=np.where(given, folder.labels, named.classes),
        confidence=np.where(given, 1.0, named.confidence),
        clusters=named.clusters,
        distances=np.zeros(0),
        rounds=np.where(given, 0, np.where(named.voted, 1, 2)),
        choice=unchecked_threshold(job.options.threshold),
        validation=np.zeros(0, dtype=np.int64),
        validation_guesses=np.zeros(0, dtype=np.int64),
        validation_right=np.zeros(0, dtype=bool),
        stop_reason="all rounds done",
    )
    if job.options.check == "off":
        return ShardLabelling(table=table, weight=model.weight, bias=model.bias)
    table = _judged(job, structure, table, labels, named.judgement)
    sample, _ = draw(structure.features, _TEMPERED_BY, seed)
    confidence = float(table.confidence[~given].mean())
    temperature = temperature_for(sample @ model.weight.T + model.bias, confidence)
    return ShardLabelling(table=table, weight=model.weight / temperature, bias=model.bias / temperature)


def _labels(job: Job) -> Labels:
    given = job.folder.labels
    certainty = np.where(job.folder.checked | (given == UNLABELLED), 1.0, UNCHECKED_WEIGHT)
    return Labels(classes=given, certainty=certainty, n_classes=len(job.folder.classes))


def _named(features: np.ndarray, assignments: np.ndarray, model: ShardModel, threshold: float) -> _Named:
    probabilities = model.probabilities(features)
    classes = probabilities.argmax(axis=1)
    guess = model.vote(features, assignments)
    return _Named(
        classes=classes,
        confidence=probabilities.max(axis=1),
        voted=(guess.argmax(axis=1) == classes) & (guess.max(axis=1) >= threshold),
        clusters=assignments[:, SHOWN].astype(np.int64),
        judgement=judgement_of(model.opinions(features, assignments), classes),
    )


def _all_named(structure: ShardStructure, model: ShardModel, threshold: float) -> _Named:
    parts = list(each(lambda x, a: _named(x, a, model, threshold), structure.features, structure.assignments))
    return _Named(
        classes=np.concatenate([part.classes for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        voted=np.concatenate([part.voted for part in parts]),
        clusters=np.concatenate([part.clusters for part in parts]),
        judgement=joined([part.judgement for part in parts]),
    )


def _judged(job: Job, structure: ShardStructure, table: LabelTable, labels: Labels, judgement: Judgement) -> LabelTable:
    """Return the table with confidence as the probability of being right, by three judges and by hidden labels."""
    folder, n_classes = job.folder, labels.n_classes
    found = _cross_fit(job, structure, labels)
    assert found.judgement is not None, "features of a backbone have judges"
    enough = len(np.unique(folder.labels[folder.checked])) > 1
    known = labels.hiding(~folder.checked) if enough else labels  # judges that learn kmpl's own guesses agree on them
    grounds = grounds_of(structure, known, table.guesses, asked=~table.given, seed=job.options.seed)
    confidence, of_hidden = calibrate(
        judgement.take(~table.given),
        expected_accuracy(grounds, n_classes),
        found.judgement,
        found.hidden.right,
        stability=grounds.stability,
        per_class=float((known.classes != UNLABELLED).sum() / n_classes),
    )
    hidden = replace(found.hidden, stability=grounds.stability, confidence=of_hidden)
    return with_threshold(job, replace(table, suspects=found.suspects), hidden, confidence)


def _cross_fit(job: Job, structure: ShardStructure, labels: Labels) -> CrossFit:
    """Hide each fold of the given labels in turn, and look whether the method finds them again."""
    options = job.options
    fold_of_label = folds(job.folder.labels, options.folds, options.seed)
    images, guesses, judgements = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], []
    doubtful: dict[int, int] = {}
    for number in np.unique(fold_of_label[fold_of_label != UNLABELLED]):
        hidden = fold_of_label == number
        model = fit(structure, labels.hiding(hidden), job.config.pseudo_labels, options.seed)
        some = np.flatnonzero(hidden & job.folder.by_person)
        assignments = rows(structure.assignments, some).astype(np.int64)
        named = _named(rows(structure.features, some), assignments, model, job.config.pseudo_labels.threshold)
        doubtful |= suspects(some, named.classes, job.folder.labels[some], named.judgement)
        is_evidence = job.folder.checked[some]
        images.append(some[is_evidence])
        guesses.append(named.classes[is_evidence])
        judgements.append(named.judgement.take(is_evidence))
    of_all, classes = np.concatenate(images), np.concatenate(guesses)
    singles = int(((job.folder.labels != UNLABELLED) & (fold_of_label == UNLABELLED)).sum())
    right = classes == job.folder.labels[of_all]
    return CrossFit(
        hidden=HiddenLabels(np.zeros(len(right)), right, singles),
        probabilities=np.empty((0, 0, 0), dtype=np.float32),
        images=of_all,
        guesses=classes,
        judgement=joined(judgements),
        suspects=doubtful,
    )
