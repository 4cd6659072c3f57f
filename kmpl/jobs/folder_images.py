"""The images of a folder and their features: what labelling, suggestions and a review begin with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kmpl.config.backbones import AUTO, DEFAULT_BACKBONE, NO_BACKBONE
from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets.image_folder import FolderImages, OnProgress, read_folder
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.formats.hand_labels import check_overwrite
from kmpl.jobs import embed_folder
from kmpl.jobs.label_files import Files
from kmpl.jobs.reading_warnings import warn_of_reading
from kmpl.jobs.workspace import Workspace
from kmpl.labelling.ways import asked_backbone
from kmpl.models.backbones.registry import default_is_installed
from kmpl.runtime.devices import use_threads
from kmpl.store.cached_steps import features_without_labels
from kmpl.store.store import Store
from kmpl.training.watch import Watch, ignore


def read(files: Files, size: int, on_progress: OnProgress = ignore) -> FolderImages:
    """Return the images of the folder; warn of files left out, of doubtful labels, and of how files were read."""
    files.check()
    images = read_folder(files.folder, files.labels, size=size, on_progress=on_progress, rules=files.rules)
    given = {file: images.classes[c] for file, c in zip(images.files, images.labels, strict=True) if c != UNLABELLED}
    check_overwrite(files.out, "--out", given, root=files.folder, files=images.files)
    warn_of_reading(images)
    return images


def embed(
    images: FolderImages, overrides: Mapping[str, Any], *, mlruns: Path, on_progress: OnProgress = ignore
) -> FolderImages:
    """Return the same images, with features of a backbone where the settings ask for one or leave it open.

    Args:
        images: of the folder, from ``read``.
        overrides: given settings, as a tree of ``LabelOptions``.
        mlruns: folder of the store of finished steps, which keeps features.
        on_progress: called with the number of images so far and in all.

    Raises:
        UserError: the backbone cannot be opened, or shards are asked for, which are no features in memory.
    """
    if overrides.get("shards"):
        raise UserError("shards: only kmpl label and kmpl suggest work in shards; leave it out")
    name = asked_backbone(overrides)
    if name == AUTO:
        name = DEFAULT_BACKBONE if default_is_installed() else NO_BACKBONE
    if name == NO_BACKBONE:
        return images
    learning = merge(LabelOptions(), {**overrides, "backbone": name})
    return embed_folder.embed(images, learning, Workspace(mlruns).store, on_progress)


def settings_for(images: FolderImages, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with a backbone that is chosen by how the pictures look, where nobody chose it.

    Without labels nothing can be tested. Colour pictures are mostly photographs, which a backbone knows; grey ones are
    often digits, glyphs or measurements, which it does not.
    """
    is_grey = images.images.shape[1] == 1
    if asked_backbone(overrides) == AUTO and is_grey:
        return dict(overrides) | {"backbone": NO_BACKBONE}
    return dict(overrides)


def features_of(images: FolderImages, options: LabelOptions, *, store: Store, watch: Watch) -> np.ndarray:
    """Return features (N, D) that need no label: those of the backbone, or else what a network learns by clusters."""
    use_threads(options.threads)
    if images.frozen is not None:
        return images.frozen.values
    return features_without_labels(store, options, images.images, seed=options.seed, watch=watch)
