"""A folder of images labelled: settings that fit it, the method, and the threshold that keeps a promise."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmpl import experiment
from kmpl.config import ExperimentConfig
from kmpl.datasets.folder import FolderImages
from kmpl.datasets.own_pool import folds, held_out, pool_of
from kmpl.devices import use_threads
from kmpl.embedding import predict
from kmpl.errors import UserError, look_up
from kmpl.experiment import Steps
from kmpl.label_config import LabelOptions
from kmpl.label_config import experiment as experiment_of
from kmpl.labelled import Labelled, assemble, shortened
from kmpl.networks import NETWORKS
from kmpl.results import LEFT_OUT, Labelling, Pool
from kmpl.steps import check_voting
from kmpl.thresholds import as_given, by_cross_fitting, ranks


@dataclass(frozen=True)
class Job:
    """A folder and how it is to be labelled."""

    found: FolderImages
    options: LabelOptions
    config: ExperimentConfig
    hidden: np.ndarray
    """(N,) bool: labels that the method is not given."""

    @property
    def pool(self) -> Pool:
        """What the method is given."""
        return pool_of(self.found, self.hidden)


def prepare(found: FolderImages, given: Mapping[str, Any]) -> Job:
    """Return the job with the settings that fit the folder, where none were ``given``.

    Raises:
        UserError: fewer than two classes, nothing to label, or a setting that the folder is too small for.
    """
    n_labels, n_images = int((found.labels != LEFT_OUT).sum()), len(found.files)
    if len(found.classes) < 2:
        only = f"one class only ({found.classes[0]})" if found.classes else "no label at all"
        raise UserError(f"{found.root}: {only}; label images of at least 2 classes, with --labels or class sub-folders")
    if n_labels == n_images:
        raise UserError(f"{found.root}: all {n_images} images have a label already; there is nothing to assign")
    options, config = experiment_of(f"folder:{found.root}", given, n_images, n_labels, len(found.classes))
    if options.expect_accuracy is not None and "threshold" in given:
        raise UserError("expect_accuracy chooses the threshold: give one of the two")
    hidden = held_out(found.labels, options.validation, options.seed)
    look_up(NETWORKS, config.network, "network")
    check_voting(config, n_images, n_labels - int(hidden.sum()))
    return Job(found, options, config, hidden)


def run(job: Job, steps: Steps) -> tuple[Labelling, Labelled]:
    """Return what the method made of the folder, and the labels of all its images.

    Args:
        job: what is to be done.
        steps: of the method; with those of ``kmpl.checkpoints.kept`` a killed run goes on where it was.
    """
    use_threads(job.config.threads)
    chosen = as_given(job.options.threshold)
    pool = job.pool
    steps.begun(pool)
    steps.entering("label")
    done = experiment.label(job.config, pool, steps)
    hidden = np.flatnonzero(job.hidden)
    if job.options.expect_accuracy is not None:
        seen, right = cross_fit(job, steps)
        rest = assemble(job.found, pool, done, chosen, hidden)
        chosen = by_cross_fitting(job.options.expect_accuracy, seen, right, rest.confidence[~rest.given])
    return done, assemble(job.found, pool, done, chosen, hidden)


def cross_fit(job: Job, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """Hide each part of the given labels in turn, train on the others, and see which are found again.

    Only the first network is trained, on labels alone: it costs little, and as it knows less than the last, what is
    expected of it can be expected of the last all the more. A class's only label is never hidden.

    Returns:
        (V,) ranks of the hidden labels' confidence among all images that have none, and (V,) whether they were found.
    """
    parts = folds(job.found.labels, job.options.folds, job.options.seed)
    seen, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for number in np.unique(parts[parts != LEFT_OUT]):
        steps.entering(f"fold {number + 1} of {job.options.folds}")
        hidden = parts == number
        pool = pool_of(job.found, hidden)
        network = steps.pretrain(job.config, pool, steps.watch).network
        probabilities = predict(network, pool.images[~pool.labelled])
        sources = pool.sources[~pool.labelled]
        own = hidden[sources]
        seen.append(ranks(probabilities.max(axis=1))[own])
        right.append(probabilities.argmax(axis=1)[own] == job.found.labels[sources[own]])
    return np.concatenate(seen), np.concatenate(right)


def summary_line(done: Labelled) -> str:
    """Return what was done in one sentence."""
    n, assigned, given = len(done.found.files), int(done.assigned.sum()), int(done.given.sum())
    return (
        f"{n:,} images: {given:,} labels given, {assigned:,} assigned, {n - assigned - given:,} unsure and left empty"
    )


def check_line(done: Labelled) -> str:
    """Return what the hidden labels say, and which classes nothing was taken for."""
    found, hidden = int(done.checked.sum()), len(done.checked)
    if hidden:
        said = f"Of {hidden} given labels that were hidden, {found} were found again"
    elif done.chosen.demanded is not None:
        said = "No label was hidden from the last network; those that were hidden in turn say what to expect"
    else:
        said = "Too few labels to hide any, so nothing checks the result; --expect-accuracy 0.9 hides each in turn"
    taken = set(done.guesses[~done.given])
    none = [name for number, name in enumerate(done.found.classes) if number not in taken]
    if none and taken:
        said += f". Look at the clusters: no unlabelled image was taken for {shortened(none, 5)}"
    return said


def target_name(root: Path) -> str:
    """Return what a folder is called in titles."""
    return root.absolute().name or str(root)
