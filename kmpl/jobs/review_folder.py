"""A review of a folder: read the images, have features of them, and take up the journal where it ends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets.image_files import LABELS_FILE
from kmpl.datasets.image_folder import FolderImages, OnProgress, read_folder
from kmpl.errors import FileError
from kmpl.jobs.folder_images import features_of
from kmpl.jobs.label_files import Files
from kmpl.jobs.reading_warnings import warn_of_reading
from kmpl.jobs.review_place import find_place, keep_place
from kmpl.jobs.workspace import Workspace
from kmpl.review.journal import open_journal
from kmpl.review.session import Review
from kmpl.review.snapshot import Target
from kmpl.review.thumbnails import Thumbnails
from kmpl.runtime.files import sha256
from kmpl.runtime.output_paths import check_apart
from kmpl.training.watch import Watch, ignore


def read(files: Files, size: int, on_progress: OnProgress = ignore) -> FolderImages:
    """Return the images of the folder; warn as ``folder_images.read`` does.

    Raises:
        UserError: the folder or its labels cannot be read, or the file to write is the CSV of given labels.
    """
    check_apart({"--labels": files.labels or files.folder / LABELS_FILE, "--out": files.out})
    images = read_folder(files.folder, files.labels, size=size, on_progress=on_progress, rules=files.rules)
    warn_of_reading(images)
    return images


def features(images: FolderImages, overrides: Mapping[str, Any], *, mlruns: Path, watch: Watch) -> np.ndarray:
    """Return features (N, D): those of the backbone, or else what a network learns from the images alone.

    Args:
        images: of the folder, with features of a backbone if there is one.
        overrides: given settings, as a tree of ``LabelOptions``.
        mlruns: folder of the store of finished steps.
        watch: receives the events of training.

    Raises:
        UserError: fewer than two images, and no backbone.
    """
    return features_of(images, merge(LabelOptions(), overrides), store=Workspace(mlruns).store, watch=watch)


@contextmanager
def open_review(
    files: Files, images: FolderImages, features: np.ndarray, *, mlruns: Path, seed: int, n_clusters: int | None
) -> Iterator[Review]:
    """Yield the review, with its first round made; while another process has it open, it can only be read.

    Args:
        files: the file to write, and the rules for names.
        images: of the folder.
        features: (N, D) of the images.
        mlruns: folder of the journals.
        seed: of the clusters.
        n_clusters: of each round; None = by the number of images.

    Raises:
        UserError: the journal is damaged or another folder's, or the file to write is there and none of this review's.
    """
    out = files.out
    may_replace = frozenset([sha256(out)]) if files.overwrite and out.exists() else frozenset()
    place = find_place(images, mlruns)
    with open_journal(place) as journal:
        if not journal.read_only:
            keep_place(images, place)
        review = Review(
            images,
            features,
            journal,
            target=Target(path=out, format=files.format, may_replace=may_replace),
            seed=seed,
            n_clusters=n_clusters,
            rules=files.rules,
        )
        if not journal.read_only:
            if out.exists() and sha256(out) not in review.replaceable():
                raise FileError(
                    f"--out {out}: exists, and this review did not write it as it is; give --overwrite or another name",
                    out,
                )
            if not review.state.round:
                review.start_round()
        yield review


def thumbnails(images: FolderImages, mlruns: Path) -> Thumbnails:
    """Return the small copies of the pictures, kept beside the store."""
    return Thumbnails(images, mlruns / "cache" / "thumbnails")
