"""A large folder in shards: the names of its images, their given labels, and a backbone's numbers on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kmpl.config.backbones import AUTO, FEATURES, NO_BACKBONE, kind_of
from kmpl.config.labelling import MOST_IN_MEMORY, LabelOptions, check_shards
from kmpl.config.presets import merge
from kmpl.datasets.feature_shards import ShardFolder, named_shards
from kmpl.datasets.image_folder import FolderImages, given_labels, labels_file, numbered
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.formats.hand_labels import check_overwrite
from kmpl.images.conversion import PLAIN
from kmpl.images.file_tree import walk
from kmpl.images.reading import OnProgress
from kmpl.jobs import embed_shards
from kmpl.jobs.embed_shards import EmbeddedFolder
from kmpl.jobs.label_files import Files
from kmpl.jobs.reading_warnings import warn_of_reading
from kmpl.jobs.shard_embedding import backbone_of
from kmpl.jobs.workspace import Workspace
from kmpl.method.shard_features import Projection, fit_projection, projected
from kmpl.method.shard_kmeans import Shards
from kmpl.runtime.devices import use_threads
from kmpl.training.watch import ignore


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardedFolder:
    """The images of a folder, without their pixels, and their features."""

    images: FolderImages
    """Names and given labels; no pictures, and features of no image."""
    features: Shards
    """(n, P) float16 of each shard, in the order of the names."""
    projection: Projection
    """That made them of the backbone's numbers."""


def wanted(folder: Path, overrides: Mapping[str, Any]) -> bool:
    """Say whether a folder is labelled in shards: as asked, or because a backbone is named and images are many."""
    backbone = str(overrides.get("backbone", AUTO))
    if overrides.get("shards"):
        return True
    if backbone in (AUTO, NO_BACKBONE):
        return False
    if kind_of(backbone) == FEATURES:
        return Path(backbone.partition(":")[2]).expanduser().is_dir()
    return any(number >= MOST_IN_MEMORY for number, _ in enumerate(walk(folder, lambda name, error: None)))  # noqa: ARG005


def read(
    files: Files,
    overrides: Mapping[str, Any],
    *,
    workspace: Workspace,
    folder: ShardFolder,
    on_progress: OnProgress = ignore,
) -> ShardedFolder:
    """Return the images of a folder with their features in shards; warn as ``folder_images.read`` does.

    Args:
        files: the folder, and the labels that are read and written.
        overrides: given settings, as a tree of ``LabelOptions``; a backbone is named.
        workspace: whose store keeps features.
        folder: for features that are ready.
        on_progress: called with the number of images so far and in all.

    Raises:
        UserError: a setting that shards do not know, a damaged shard, or what ``folder_images.read`` refuses.
    """
    check_shards(overrides)
    files.check()
    learning = merge(LabelOptions(), overrides)
    use_threads(learning.threads)
    found = _found(files.folder, learning, workspace, on_progress)
    images = _images(files, found)
    projection = fit_projection(found.features, name=learning.backbone)
    features = folder.write("features", projected(found.features, projection))
    is_network = kind_of(learning.backbone) != FEATURES
    backbone = backbone_of(learning.backbone, learning.backbone_weights) if is_network else None
    none = np.empty((0, found.features[0].shape[1]), dtype=np.float32)
    frozen = FrozenFeatures(
        values=none,
        validation=none,
        root=projection.root,
        name=learning.backbone,
        backbone=backbone,
        side=backbone.size if backbone else 0,
    )
    return ShardedFolder(images=replace(images, frozen=frozen), features=features, projection=projection)


def _found(root: Path, learning: LabelOptions, workspace: Workspace, on_progress: OnProgress) -> EmbeddedFolder:
    """Return names and features: those of a folder of shards, or what a network has of a folder's images."""
    kind, _, place = learning.backbone.partition(":")
    if kind != FEATURES:
        return embed_shards.embed(root, learning, workspace, on_progress)
    names, raw = named_shards(Path(place).expanduser())
    files = tuple(names)  # which stand for digests, as nothing is known of the files' content
    return EmbeddedFolder(files=files, digests=files, left_out={}, conversion=PLAIN, notes=(), features=raw)


def _images(files: Files, found: EmbeddedFolder) -> FolderImages:
    """Return names and given labels of a folder's images; warn of what people should know."""
    table = labels_file(files.folder, files.labels)
    given = given_labels(files.folder, table, found.files, files.rules)
    classes, numbers = numbered([given.labels.get(file) for file in found.files])
    images = FolderImages(
        root=files.folder,
        files=found.files,
        images=torch.empty((0, 3, 1, 1), dtype=torch.uint8),
        labels=numbers,
        classes=classes,
        digests=found.digests,
        left_out=found.left_out,
        labels_file=table,
        label_notes=given.notes,
        unreviewed=given.unreviewed,
        by_cluster=given.by_cluster,
        conversion=found.conversion,
        reading_notes=found.notes,
    )
    of_people = {file: classes[c] for file, c in zip(found.files, numbers, strict=True) if c != UNLABELLED}
    check_overwrite(files.out, "--out", of_people, root=files.folder, files=found.files)
    warn_of_reading(images)
    return images
