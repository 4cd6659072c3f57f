"""The ways to label a folder, and which of them its given labels choose.

Either a network learns from the folder's images alone, or features of a backbone, which learnt elsewhere, are labelled.
Such features have never seen the labels, so labels that are hidden test both ways alike. Learning takes minutes, so it
is only tried where the pixels themselves, which take a second, find hidden labels again about as often as the backbone:
that is so for digits and letters, never for photographs (docs/log/attempts-pictures.md).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kmpl.config.backbones import AUTO, NO_BACKBONE
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import FrozenFeatures
from kmpl.labelling.cross_fitting import CrossFit, cross_fit
from kmpl.labelling.job import Job, prepare
from kmpl.method.frozen_structure import with_structure
from kmpl.method.pretext import pixels
from kmpl.method.step_interface import Steps
from kmpl.runtime.seeds import derive

_OF_TRAINING = ("network", "augmentation", "pretrain", "retrain", "pretext")
"""Settings that only a network that learns from the folder's images has."""
_PIXELS = "the pixels"
_SLACK = 2.0
"""Standard errors by which pixels of grey pictures may find fewer labels again than a backbone, where learning is still
tried; those of colour pictures, mostly photographs, must find as many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The way that was chosen."""

    job: Job
    fit: CrossFit | None = None
    """Its cross-fitting; None where it was not needed for the choice."""
    reason: str = ""
    """Which way it is and why, in one line for people; empty where there was nothing to choose."""


def asked_backbone(overrides: Mapping[str, Any]) -> str:
    """Return the backbone that settings ask for: ``auto``, ``none``, or a name.

    Who sets how a network learns wants one to learn.

    >>> asked_backbone({}), asked_backbone({"pretrain": {"epochs": 9}}), asked_backbone({"backbone": "none"})
    ('auto', 'none', 'none')
    """
    by_training = NO_BACKBONE if any(name in overrides for name in _OF_TRAINING) else AUTO
    return str(overrides.get("backbone", by_training))


def choose(images: FolderImages, overrides: Mapping[str, Any], steps: Steps) -> Choice:
    """Return the way to label a folder.

    Args:
        images: of the folder, with features of a backbone if there is one.
        overrides: given settings, as a tree of ``LabelOptions``.
        steps: of the method.

    Raises:
        UserError: as ``kmpl.labelling.job.prepare``.
    """
    first = prepare(images, overrides)
    if images.frozen is None or asked_backbone(overrides) != AUTO:
        return Choice(job=first)
    learning = prepare(replace(images, frozen=None), overrides)
    name = images.frozen.name
    fit = None if first.options.check == "off" else _cross_fit(first, steps)
    if fit is None or not len(fit.hidden.right):
        grey = images.images.shape[1] == 1
        reason = "a network that learns from these images, which are grey" if grey else f"features of {name}"
        why = "nothing was compared, as asked" if fit is None else "no label could be hidden to compare ways"
        return Choice(job=learning if grey else first, reason=f"Way: {reason}; {why}")
    by_backbone = _hits(fit)
    by_pixels = _hits(_cross_fit(_pixel_job(first), steps))
    slack = _SLACK * math.sqrt(by_backbone + 1) if images.images.shape[1] == 1 else 0.0
    if by_pixels < by_backbone - slack:
        reason = f"{by_backbone} of {len(fit.hidden.right)} hidden labels are found again, by pixels alone {by_pixels}"
        return Choice(job=first, fit=fit, reason=f"Way: features of {name}: {reason}")
    steps.entering(
        f"pixels find {by_pixels} hidden labels again, features of {name} {by_backbone}: a network learns, too"
    )
    learnt = _cross_fit(learning, steps)
    n = f"of {len(fit.hidden.right)} hidden labels"
    if _hits(learnt) > by_backbone:
        reason = f"it finds {_hits(learnt)} {n} again, features of {name} {by_backbone}"
        return Choice(job=learning, fit=learnt, reason=f"Way: a network that learns from these images: {reason}")
    reason = f"{by_backbone} {n} are found again, by a network that learns from these images {_hits(learnt)}"
    return Choice(job=first, fit=fit, reason=f"Way: features of {name}: {reason}")


def _cross_fit(job: Job, steps: Steps) -> CrossFit:
    return cross_fit(job.folder, job.config, n_folds=job.options.folds, seed=job.options.seed, steps=steps)


def _hits(fit: CrossFit) -> int:
    return int(fit.hidden.right.sum())


def _pixel_job(job: Job) -> Job:
    """Return the same labelling on the principal components of the pixels."""
    values = pixels(job.folder.images)
    frozen = FrozenFeatures(values=values, validation=values[:0], root=False, name=_PIXELS)
    structured = with_structure(frozen, derive(job.options.seed, "structure"))
    return replace(job, folder=replace(job.folder, frozen=structured))
