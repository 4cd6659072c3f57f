"""``kmpl suggest``: which images of a folder a person should label next."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from kmpl.commands import Folder, given
from kmpl.label_config import LabelOptions
from kmpl.pretext import Pretext
from kmpl.targets import check_target

if TYPE_CHECKING:
    import numpy as np

    from kmpl.datasets.folder import FolderImages
    from kmpl.steps import Watch
    from kmpl.store import Store
    from kmpl.suggestions import Suggestions

HEADER = ("file", "label", "rank", "cluster", "reason", "confidence")


def suggest(
    folder: Path,
    /,
    *,
    budget: int,
    out: Path,
    labels: Path | None = None,
    sheet: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    mlruns: Folder = Path("mlruns"),
    quiet: Annotated[bool, Parameter(negative="")] = False,
    settings: Annotated[LabelOptions | None, Parameter(name="*")] = None,
    pretext: Pretext | None = None,
) -> None:
    """Say which images of a folder to label next: typical ones of what has no label yet, then the least certain.

    Args:
        folder: Images, in it and below it.
        budget: How many images you will label.
        out: CSV of these images, the most useful first, with an empty column for the labels.
        labels: CSV with the columns file and label; without it, labels.csv in the folder, or the names of sub-folders.
        sheet: Picture (PNG) of these images, numbered as in the CSV.
        overwrite: Replace the files if they exist.
        mlruns: Folder of the store of finished steps.
        quiet: Print nothing but errors.
        settings: Single settings of labelling, the same as for `kmpl label`.
        pretext: How features are learnt without labels.
    """
    check_target(out, "--out", overwrite)
    if sheet is not None:
        check_target(sheet, "--sheet", overwrite)
    # What is heavy is imported only now that the targets are known to be right.
    from kmpl import bars
    from kmpl.cells import Place
    from kmpl.checkpoints import features_without_labels
    from kmpl.devices import use_threads
    from kmpl.image_progress import read_shown
    from kmpl.label_config import sized
    from kmpl.presets import merge
    from kmpl.suggestions import check_budget
    from kmpl.suggestions import suggest as choose

    console, said, store = Console(quiet=quiet), given(settings), Place(mlruns).store
    options = merge(LabelOptions(), said)
    found = read_shown(console, folder, labels, options.size)
    check_budget(found.labels, budget)
    use_threads(options.threads)
    with bars.shown(console) as watch:
        features = features_without_labels(store, options, pretext or Pretext(), found.images, options.seed, watch)
        confidence = _confidence(found, said, store, watch) if len(found.classes) > 1 else None
        chosen = choose(features, found.labels, budget, options.seed, confidence, found.digests)
    _write(out, sheet, found, chosen)


def _confidence(found: "FolderImages", said: dict, store: "Store", watch: "Watch") -> Callable[[], "np.ndarray"]:
    """Return what labels the folder, as ``kmpl label`` does, and gives the confidence of each image's class."""
