"""From a folder of image files to a CSV of those to label next, and a sheet that shows them; nothing half-written."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets.image_folder import FolderImages
from kmpl.images.decoding import read_picture
from kmpl.labelling.active_learning import Suggestions, check_budget, suggest
from kmpl.labelling.contact_sheet import SIDE, Cell, sheet
from kmpl.labelling.job import prepare, run
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.reports.figures import png
from kmpl.runtime.devices import use_threads
from kmpl.runtime.files import whole_file
from kmpl.store.cached_steps import cached, features_without_labels
from kmpl.store.store import Store
from kmpl.training.watch import Watch

_SHOWN = 200  # on a sheet: more could not be told apart
HEADER = ("file", "label", "rank", "cluster", "reason", "confidence")


@dataclass(frozen=True)
class Chosen:
    """What to label next."""

    found: FolderImages
    suggestions: Suggestions
    asked: int
    """Images that were asked for."""


def choose(found: FolderImages, budget: int, given: Mapping[str, Any], store: Store, watch: Watch) -> Chosen:
    """Return the images to label next.

    Args:
        found: the folder; it need not have any label.
        budget: how many.
        given: settings that were given, as a tree of ``LabelOptions``.
        store: of finished steps: features once learnt, and what ``kmpl label`` computed with the same settings.
        watch: told of training.

    Raises:
        UserError: the budget does not fit the folder, or what ``kmpl.labelling.job.prepare`` says.
    """
    check_budget(found.labels, budget)
    options = merge(LabelOptions(), given)
    use_threads(options.threads)
    features = features_without_labels(store, options, found.images, seed=options.seed, watch=watch)
    ask = _confidence(found, given, store, watch) if len(found.classes) > 1 else None
    return Chosen(found, suggest(features, found.labels, budget, options.seed, ask, found.digests), budget)


def _confidence(found: FolderImages, given: Mapping[str, Any], store: Store, watch: Watch) -> Callable[[], np.ndarray]:
    """Return what gives how sure the last network of ``kmpl label`` is, (N,), out of the store if it has been run."""

    def ask() -> np.ndarray:
        steps = cached(Steps(evaluate=no_test_set("a folder of one's own has no test set"), watch=watch), store)
        unchecked = {name: value for name, value in given.items() if name != "expect_accuracy"} | {"check": "off"}
        return run(prepare(found, unchecked), steps)[1].confidence

    return ask


def summary_line(chosen: Chosen) -> str:
    """Return what was chosen in one sentence."""
    counts = Counter(chosen.suggestions.reasons)
    n, why = len(chosen.suggestions.images), ", ".join(f"{count} × {reason}" for reason, count in counts.items())
    fewer = f"; {chosen.asked} were asked for, but all others are near-duplicates" if n < chosen.asked else ""
    return f"{n} of {len(chosen.found.files):,} images to label next: {why}{fewer}"


def table(chosen: Chosen) -> str:
    """Return the suggestions as CSV: the columns of a CSV of labels, the label left empty, then rank and reason."""
    out, found, which = io.StringIO(), chosen.found, chosen.suggestions
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for rank, (image, reason) in enumerate(zip(which.images, which.reasons, strict=True), start=1):
        sure = "" if which.confidence is None else f"{which.confidence[image]:.4f}"
        writer.writerow((found.files[image], "", rank, which.clusters.assignment[image], reason, sure))
    return out.getvalue()


def picture(chosen: Chosen) -> bytes:
    """Return the contact sheet as the content of a PNG file."""
    found, which = chosen.found, chosen.suggestions
    shown = list(zip(which.images, which.reasons, strict=True))[:_SHOWN]
    cells = [Cell(_read(found, int(i)), found.files[i], why) for i, why in shown]
    name = found.root.resolve().name or str(found.root)
    first = f" (the first {_SHOWN} are shown)" if len(which.images) > _SHOWN else ""
    return png(sheet(cells, f"{name}: {len(which.images)} of {len(found.files):,} images to label next{first}"))


def _read(found: FolderImages, i: int) -> np.ndarray:
    """Return an image at the size of the sheet, (SIDE, SIDE, 1 or 3) uint8."""
    return read_picture(found.root / found.files[i], (SIDE, SIDE), ranges=found.ranges)


def write(chosen: Chosen, out: Path, sheet_file: Path | None) -> None:
    """Write the CSV and, where it is asked for, the sheet.

    Raises:
        UserError: a file cannot be written.
    """
    with whole_file(out) as draft:
        draft.write_text(table(chosen), encoding="utf-8", newline="")
    if sheet_file is not None:
        with whole_file(sheet_file) as draft:
            draft.write_bytes(picture(chosen))
