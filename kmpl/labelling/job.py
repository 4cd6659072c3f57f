"""The labelling of a folder: settings that fit its size, the method, cross-fitting, and the confidence threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kmpl.config.backbones import NO_BACKBONE
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.labelling import LabelOptions, check_choice
from kmpl.config.labelling import experiment as experiment_of
from kmpl.config.networks import NETWORKS
from kmpl.datasets.folder_pool import pool_of, validation_mask
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.errors import UserError, look_up
from kmpl.labelling.agreement import CAUTION, CAUTION_WITHOUT_HIDDEN, as_sure, calibrate, expected_accuracy
from kmpl.labelling.cross_fitting import CrossFit, cross_fit, in_folder_order
from kmpl.labelling.doubts import unlike
from kmpl.labelling.judges import Judgement, grounds_of, judge
from kmpl.labelling.label_table import LabelTable, assemble
from kmpl.labelling.stopping import expected_by_labels
from kmpl.labelling.thresholds import (
    HiddenLabels,
    calibrated_confidence,
    confidence_ranks,
    guaranteed_choice,
    smallest_threshold,
    unchecked_threshold,
    user_threshold,
)
from kmpl.method import experiment
from kmpl.method.frozen_structure import with_structure
from kmpl.method.results import Labelling
from kmpl.method.step_interface import Steps
from kmpl.method.steps import check_voting
from kmpl.runtime.devices import use_threads
from kmpl.runtime.seeds import derive


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A folder, and the settings of its labelling. N images."""

    folder: FolderImages
    options: LabelOptions
    config: ExperimentConfig
    validation: np.ndarray
    """(N,) bool: images whose given label is held out from training, for validation."""
    threshold_is_set: bool = False
    """The user set the threshold: it stays, whatever accuracy is expected above it."""

    @property
    def pool(self) -> Pool:
        """The images and labels that the method is given."""
        return pool_of(self.folder, self.validation)


def prepare(folder: FolderImages, overrides: Mapping[str, Any]) -> Job:
    """Return the job; settings that are not in ``overrides`` follow from the size of the folder.

    Raises:
        UserError: fewer than two classes, no unlabelled image, or a setting that the folder is too small for.
    """
    n_images = len(folder.files)
    n_labels = int((folder.labels != UNLABELLED).sum())
    if len(folder.classes) < 2:
        raise UserError(_too_few_classes(folder))
    if n_labels == n_images:
        raise UserError(f"{folder.root}: all {n_images} images have a label already; there is nothing to assign")
    options, config = experiment_of(
        f"folder:{folder.root}",
        overrides,
        n_images=n_images,
        n_labels=n_labels,
        n_classes=len(folder.classes),
        backbone=folder.frozen.name if folder.frozen else NO_BACKBONE,
    )
    check_choice(overrides)
    if folder.frozen and folder.frozen.graph is None:  # else it was found before, with the same seed
        folder = replace(folder, frozen=with_structure(folder.frozen, derive(options.seed, "structure")))
    validation = validation_mask(folder.labels, options.validation, options.seed)
    look_up(NETWORKS, config.network, "network")
    check_voting(config, n_images, n_labels - int(validation.sum()))
    return Job(
        folder=folder,
        options=options,
        config=config,
        validation=validation,
        threshold_is_set="threshold" in overrides,
    )


def _too_few_classes(folder: FolderImages) -> str:
    labels = f"one class only ({folder.classes[0]})" if folder.classes else "no label at all"
    if folder.labels_file:
        return f"{folder.labels_file}: {labels}; fill in the column label for images of at least 2 classes"
    more = "with --labels or class sub-folders (kmpl suggest says which images first)"
    return f"{folder.root}: {labels}; label images of at least 2 classes, {more}"


def run(job: Job, steps: Steps, fit: CrossFit | None = None) -> tuple[Labelling, LabelTable]:
    """Return the result of the method, and the labels of all images; cross-fitting tests them unless it is off.

    Args:
        job: the folder and its settings.
        steps: of the method; with those of ``kmpl.store.cached_steps.kept`` a killed run resumes where it stopped.
        fit: cross-fitting of the same job, if it is done already.
    """
    use_threads(job.config.threads)
    pool = job.pool
    steps.begun(pool)
    steps.entering("label")
    labelling = experiment.label(job.config, pool, steps)
    choice = unchecked_threshold(job.options.threshold)
    table = assemble(job.folder, pool, labelling, choice=choice, validation=np.flatnonzero(job.validation))
    if job.options.check == "off":
        return labelling, table
    done = fit or cross_fit(job.folder, job.config, n_folds=job.options.folds, seed=job.options.seed, steps=steps)
    if pool.frozen:
        table = _judged(job, table, judge(pool, labelling), pool, done)
        labelling = as_sure(labelling, pool, float(table.confidence[~table.given].mean()))
    else:
        table = _calibrated(job, table, in_folder_order(pool, labelling.vote.probabilities), done)
    return labelling, table


def _judged(job: Job, table: LabelTable, judgement: Judgement, pool: Pool, fit: CrossFit) -> LabelTable:
    """Return the table with confidence as the probability of being right, by three judges and by the hidden labels.

    Args:
        job: the folder and its settings.
        table: the labels before cross-fitting.
        judgement: of all images, in the order of the pool.
        pool: the images and labels that the method was given.
        fit: cross-fitting of the same job.
    """
    assert fit.judgement is not None, "the folder has frozen features"
    unlabelled = ~table.given
    ours = judgement.take(np.argsort(pool.sources)).take(unlabelled)
    n_classes = len(job.folder.classes)
    by_person = np.where(job.folder.checked, job.folder.labels, UNLABELLED)
    frozen = job.folder.frozen
    assert frozen is not None, "the folder has frozen features"
    enough = len(np.unique(by_person[by_person != UNLABELLED])) > 1
    known = by_person if enough else job.folder.labels  # judges that learn kmpl's own guesses agree on them
    grounds = grounds_of(frozen, known, table.guesses, asked=unlabelled, n_classes=n_classes, seed=job.options.seed)
    expected = expected_accuracy(grounds, n_classes)
    right = fit.hidden.right
    per_class = float((known != UNLABELLED).sum() / n_classes)
    confidence, of_hidden = calibrate(
        ours, expected, fit.judgement, right, stability=grounds.stability, per_class=per_class
    )
    caution = CAUTION if len(right) else CAUTION_WITHOUT_HIDDEN
    hidden = replace(fit.hidden, stability=grounds.stability, confidence=of_hidden, caution=caution)
    curve = expected_by_labels(
        frozen, by_person, n_classes=n_classes, seed=job.options.seed, in_all=float(confidence.mean())
    )
    table = replace(table, suspects=fit.suspects, unlike=unlike(frozen.values, job.folder.labels), curve=tuple(curve))
    return with_threshold(job, table, hidden, confidence)


def _calibrated(job: Job, table: LabelTable, probabilities: np.ndarray, fit: CrossFit) -> LabelTable:
    """Return the table with confidence as the probability of being right, and the threshold that follows from it.

    Args:
        job: the folder and its settings.
        table: the labels before cross-fitting.
        probabilities: (N, C) of the last network.
        fit: cross-fitting of the same job.
    """
    unlabelled = ~table.given
    confidence = fit.mean_confidence(probabilities, table.guesses)[unlabelled]
    hidden = replace(fit.hidden, confidence=fit.hidden.ranks)
    if len(hidden.right):
        confidence = calibrated_confidence(hidden, confidence_ranks(confidence))
        hidden = replace(hidden, confidence=calibrated_confidence(hidden, hidden.ranks))
    return with_threshold(job, table, hidden, confidence)


def with_threshold(job: Job, table: LabelTable, hidden: HiddenLabels, confidence: np.ndarray) -> LabelTable:
    """Return the table with calibrated confidence (unlabelled images,) and the threshold that follows from it."""
    options = job.options
    unlabelled = ~table.given
    if options.guarantee is not None:
        choice = guaranteed_choice(options.guarantee, options.at_risk, hidden, confidence)
    elif job.threshold_is_set:
        choice = user_threshold(options.threshold, hidden, confidence)
    else:
        choice = smallest_threshold(options.expect_accuracy, hidden, confidence, minimum=options.threshold)
    all_confidence = np.ones(len(unlabelled))
    all_confidence[unlabelled] = confidence
    return replace(table, confidence=all_confidence, choice=choice)
