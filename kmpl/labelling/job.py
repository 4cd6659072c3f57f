"""A folder of images labelled: settings that fit it, the method, and the threshold that keeps a promise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.labelling import LabelOptions
from kmpl.config.labelling import experiment as experiment_of
from kmpl.config.networks import NETWORKS
from kmpl.datasets.folder_pool import held_out, pool_of
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.errors import UserError, look_up
from kmpl.labelling.cross_fitting import by_image, cross_fit
from kmpl.labelling.label_table import Labelled, assemble
from kmpl.labelling.thresholds import as_given, as_set, by_cross_fitting, chances, ranks
from kmpl.method import experiment
from kmpl.method.results import Labelling
from kmpl.method.step_interface import Steps
from kmpl.method.steps import check_voting
from kmpl.runtime.devices import use_threads


@dataclass(frozen=True)
class Job:
    """A folder and how it is to be labelled."""

    found: FolderImages
    options: LabelOptions
    config: ExperimentConfig
    hidden: np.ndarray
    """(N,) bool: labels that the method is not given."""
    threshold_given: bool = False
    """A person set the threshold: it stands, whatever is expected."""

    @property
    def pool(self) -> Pool:
        """What the method is given."""
        return pool_of(self.found, self.hidden)


def prepare(found: FolderImages, given: Mapping[str, Any]) -> Job:
    """Return the job with the settings that fit the folder, where none were ``given``.

    Raises:
        UserError: fewer than two classes, nothing to label, or a setting that the folder is too small for.
    """
    n_labels, n_images = int((found.labels != UNLABELLED).sum()), len(found.files)
    if len(found.classes) < 2:
        only = f"one class only ({found.classes[0]})" if found.classes else "no label at all"
        raise UserError(f"{found.root}: {only}; label images of at least 2 classes, with --labels or class sub-folders")
    if n_labels == n_images:
        raise UserError(f"{found.root}: all {n_images} images have a label already; there is nothing to assign")
    options, config = experiment_of(f"folder:{found.root}", given, n_images, n_labels, len(found.classes))
    if "expect_accuracy" in given and "threshold" in given:
        raise UserError("expect_accuracy chooses the threshold: give one of the two")
    if "expect_accuracy" in given and options.check == "off":
        raise UserError("expect_accuracy needs the check: leave out check off")
    hidden = held_out(found.labels, options.validation, options.seed)
    look_up(NETWORKS, config.network, "network")
    check_voting(config, n_images, n_labels - int(hidden.sum()))
    return Job(found, options, config, hidden, "threshold" in given)


def run(job: Job, steps: Steps) -> tuple[Labelling, Labelled]:
    """Return what the method made of the folder, and the labels of all its images, checked unless that is off.

    Args:
        job: what is to be done.
        steps: of the method; with those of ``kmpl.store.cached_steps.cached`` a killed run goes on where it was.
    """
    use_threads(job.config.threads)
    pool = job.pool
    steps.begun(pool)
    steps.entering("label")
    done = experiment.label(job.config, pool, steps)
    unchecked = assemble(job.found, pool, done, as_given(job.options.threshold), np.flatnonzero(job.hidden))
    return done, unchecked if job.options.check == "off" else _checked(job, unchecked, pool, done, steps)


def _checked(job: Job, labels: Labelled, pool: Pool, done: Labelling, steps: Steps) -> Labelled:
    """Return labels with the chance that each is right as confidence, and the threshold that follows from it."""
    options, rest = job.options, ~labels.given
    fit = cross_fit(job.found, job.config, options.folds, options.seed, steps)
    sure = fit.shared(by_image(pool, done.vote.probabilities), labels.guesses)[rest]
    chance = chances(fit.hidden, ranks(sure)) if len(fit.hidden.right) else sure
    if job.threshold_given:
        chosen = as_set(options.threshold, fit.hidden, chance)
    else:
        chosen = by_cross_fitting(options.expect_accuracy, fit.hidden, chance, options.threshold)
    confidence = np.ones(len(rest))
    confidence[rest] = chance
    return replace(labels, confidence=confidence, chosen=chosen)
