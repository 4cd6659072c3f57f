"""Suggestions for a folder of image files: a file of the images to label next, and a contact sheet of them."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets.image_folder import FolderImages
from kmpl.formats import writing
from kmpl.formats.records import LabelRecord
from kmpl.images.decoding import read_picture
from kmpl.jobs.folder_images import features_of
from kmpl.labelling.active_learning import Suggestions, check_budget, suggest
from kmpl.labelling.contact_sheet import SIDE_PIXELS, Cell, sheet
from kmpl.labelling.job import prepare, run
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.reports.figures import png
from kmpl.runtime.files import whole_file
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store
from kmpl.training.watch import Watch

_MAX_IMAGES_ON_SHEET = 200  # with more, nobody could tell them apart
OF_THE_CHECK = ("expect_accuracy", "guarantee", "at_risk")
HEADER = ("file", "label", "rank", "cluster", "reason", "confidence")


@dataclass(frozen=True, kw_only=True, slots=True)
class SuggestedImages:
    """The images of a folder to label next."""

    images: FolderImages
    suggestions: Suggestions
    budget: int
    """Number of images that were requested."""
    n_images: int
    """Number of images of the folder; ``images`` may be those alone that are suggested."""


def choose(
    images: FolderImages, budget: int, *, overrides: Mapping[str, Any], store: Store, watch: Watch
) -> SuggestedImages:
    """Choose the images to label next.

    Args:
        images: of the folder, with features of a backbone if there is one; none needs a label.
        budget: number of images to choose.
        overrides: given settings, as a tree of ``LabelOptions``.
        store: of finished steps; it may hold the features, and the steps of ``kmpl label`` with the same settings.
        watch: receives the events of training.

    Raises:
        UserError: the budget does not fit the folder, or an error of ``kmpl.labelling.job.prepare``.
    """
    check_budget(images.labels, budget)
    options = merge(LabelOptions(), overrides)
    features = features_of(images, options, store=store, watch=watch)
    confidence = None
    if len(images.classes) > 1:
        confidence = partial(_confidence, images, overrides=overrides, store=store, watch=watch)
    suggestions = suggest(
        features, images.labels, budget=budget, seed=options.seed, confidence=confidence, digests=images.digests
    )
    return SuggestedImages(images=images, suggestions=suggestions, budget=budget, n_images=len(images.files))


def _confidence(images: FolderImages, *, overrides: Mapping[str, Any], store: Store, watch: Watch) -> np.ndarray:
    """Return the confidence of ``kmpl label``'s last network, (N,), from the store if it holds it."""
    steps = cached(Steps(evaluate=no_test_set("a folder of one's own has no test set"), watch=watch), store)
    without_check = {name: value for name, value in overrides.items() if name not in OF_THE_CHECK} | {"check": "off"}
    _, labelled = run(prepare(images, without_check), steps)
    return labelled.confidence


def summary_line(suggested: SuggestedImages) -> str:
    """Return the number of suggestions and their reasons in one sentence."""
    counts = Counter(suggested.suggestions.reasons)
    n_images = len(suggested.suggestions.images)
    reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.items())
    fewer = f"; {suggested.budget} were asked for, but all others are near-duplicates"
    line = f"{n_images} of {suggested.n_images:,} images to label next: {reasons}"
    return line + (fewer if n_images < suggested.budget else "")


def table(suggested: SuggestedImages) -> str:
    """Return the suggestions as CSV: the columns of a CSV of labels with an empty label, then rank and reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for record in records(suggested):
        confidence = "" if record.confidence is None else f"{record.confidence:.4f}"
        writer.writerow((record.file, "", record.rank, record.cluster, record.note, confidence))
    return out.getvalue()


def contact_sheet(suggested: SuggestedImages) -> bytes:
    """Return the contact sheet as the content of a PNG file."""
    images = suggested.images
    suggestions = suggested.suggestions
    n_images = len(suggestions.images)
    shown = list(zip(suggestions.images, suggestions.reasons, strict=True))[:_MAX_IMAGES_ON_SHEET]
    cells = [Cell(image=_read(images, int(i)), caption=images.files[i], reason=reason) for i, reason in shown]
    name = images.root.resolve().name or str(images.root)
    first = f" (the first {_MAX_IMAGES_ON_SHEET} are shown)" if n_images > _MAX_IMAGES_ON_SHEET else ""
    return png(sheet(cells, f"{name}: {n_images} of {suggested.n_images:,} images to label next{first}"))


def _read(images: FolderImages, i: int) -> np.ndarray:
    """Return an image at the size of the sheet, (SIDE_PIXELS, SIDE_PIXELS, 1 or 3) uint8."""
    return read_picture(images.root / images.files[i], (SIDE_PIXELS, SIDE_PIXELS), conversion=images.conversion)


def records(suggested: SuggestedImages) -> list[LabelRecord]:
    """Return the suggestions as records without a label, the most useful first: the note is the reason."""
    found = suggested.suggestions
    return [
        LabelRecord(
            file=suggested.images.files[i],
            confidence=_confidence_of(found, i, reason),
            cluster=int(found.clusters.assignment[i]),
            note=reason,
            rank=rank,
        )
        for rank, (i, reason) in enumerate(zip(found.images, found.reasons, strict=True), start=1)
    ]


def _confidence_of(suggestions: Suggestions, i: int, reason: str) -> float | None:
    """Return how sure the network is of an image, where that is why it is asked for."""
    values = suggestions.confidence if reason == "least certain" else None
    return None if values is None else round(float(values[i]), 4)


def write(suggested: SuggestedImages, out: Path, sheet_file: Path | None, form: str = "csv") -> None:
    """Write the suggestions in a format and, if ``sheet_file`` is given, the contact sheet.

    Raises:
        UserError: a file cannot be written.
    """
    if form == "csv":
        with whole_file(out) as draft:
            draft.write_text(table(suggested), encoding="utf-8", newline="")
    else:
        writing.write(records(suggested), out, suggested.images.root, form)
    if sheet_file is not None:
        with whole_file(sheet_file) as draft:
            draft.write_bytes(contact_sheet(suggested))
