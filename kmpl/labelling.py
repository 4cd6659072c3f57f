"""A folder of images labelled: settings that fit it, the method, and the threshold that keeps a promise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kmpl import class_shares, experiment
from kmpl.config import ExperimentConfig
from kmpl.cross_fitting import by_image, cross_fit
from kmpl.datasets.folder import FolderImages
from kmpl.datasets.own_pool import held_out, pool_of
from kmpl.devices import use_threads
from kmpl.errors import UserError, look_up
from kmpl.experiment import Steps
from kmpl.label_config import LabelOptions
from kmpl.label_config import experiment as experiment_of
from kmpl.labelled import Labelled, assemble, shortened
from kmpl.networks import NETWORKS
from kmpl.results import LEFT_OUT, Labelling, Pool
from kmpl.steps import check_voting
from kmpl.thresholds import as_given, as_set, by_cross_fitting, chances, ranks


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
    n_labels, n_images = int((found.labels != LEFT_OUT).sum()), len(found.files)
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
        steps: of the method; with those of ``kmpl.checkpoints.kept`` a killed run goes on where it was.
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


def summary_line(done: Labelled) -> str:
    """Return what was done in one sentence."""
    n, assigned, given = len(done.found.files), int(done.assigned.sum()), int(done.given.sum())
    return (
        f"{n:,} images: {given:,} labels given, {assigned:,} assigned, {n - assigned - given:,} unsure and left empty"
    )


def check_line(done: Labelled) -> str:
    """Return how many labels are expected to be right, in one line: the first thing to be read."""
    chosen = done.chosen
    withheld = chosen.demanded is not None and not done.assigned.any()
    labelled = f"{done.coverage:.1%} of the unlabelled images got a label"
    return f"{chosen.said}; {_HELP if withheld else labelled}"


_HELP = (
    "more labels help most (kmpl suggest says which); for photographs so may --augmentation.flip and a larger --size; "
    "--threshold 0 writes all the same"
)


def hidden_line(done: Labelled) -> str:
    """Return what the labels say that were hidden from the last network."""
    found, hidden = int(done.checked.sum()), len(done.checked)
    if hidden:
        return f"Of {hidden} given labels that were hidden from the last network, {found} were found again"
    if done.chosen.tested:
        return "No label was hidden from the last network; those that were hidden in turn say what to expect"
    return "Too few labels to hide any, so nothing checks the result"


_DUE = 3  # images: where fewer are to be expected, none is no wonder


def warnings_of(done: Labelled) -> list[str]:
    """Return what speaks against the result, whatever the hidden labels say, a line each."""
    n_classes, rest = len(done.found.classes), ~done.given
    given = np.bincount(done.found.labels[done.given], minlength=n_classes)
    named = np.bincount(done.guesses[rest], minlength=n_classes)
    lines = [class_shares.warning(done.found.classes, given, named)]
    due = rest.sum() * given / given.sum()  # images of each class, if given labels are a fair sample
    none = [done.found.classes[c] for c in np.flatnonzero((named == 0) & (due >= _DUE))]
    if none:
        lines.append(f"Look at the clusters: no unlabelled image was taken for {shortened(none, 5)}")
    return [line for line in lines if line]


def check_record(done: Labelled) -> dict[str, Any]:
    """Return what is known of the result as plain values: shares are fractions, None where nothing was checked."""
    chosen, number = done.chosen, lambda x: None if x is None or not np.isfinite(x) else float(x)
    return {
        "said": check_line(done),
        "warnings": warnings_of(done),
        "expected_right": number(chosen.expected),
        "demanded": chosen.demanded,
        "expected_right_of_all_images": number(chosen.whole),
        "threshold": chosen.threshold if chosen.threshold <= 1 else None,
        "hidden_labels": chosen.tested,
        "found_again": chosen.found_again,
        "images": len(done.found.files),
        "given": int(done.given.sum()),
        "assigned": int(done.assigned.sum()),
    }


def target_name(root: Path) -> str:
    """Return what a folder is called in titles."""
    return root.absolute().name or str(root)
