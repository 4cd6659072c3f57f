"""Suggestions for a large folder in shards: which images to label next."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets.feature_shards import ShardFolder
from kmpl.datasets.types import UNLABELLED
from kmpl.images.reading import OnProgress
from kmpl.jobs.label_files import Files
from kmpl.jobs.shard_scratch import own_folder
from kmpl.jobs.sharded_folder import ShardedFolder, read
from kmpl.jobs.suggest_folder import OF_THE_CHECK, SuggestedImages
from kmpl.jobs.workspace import Workspace
from kmpl.labelling.active_learning import Suggestions, check_budget
from kmpl.labelling.job import prepare
from kmpl.labelling.shard_labels import label_shards
from kmpl.labelling.shard_suggestions import ShardSuggestions, suggest_in_shards
from kmpl.method.results import Clusters
from kmpl.method.shard_structure import find_structure
from kmpl.runtime.seeds import derive
from kmpl.training.watch import ignore


def choose(
    files: Files,
    budget: int,
    overrides: Mapping[str, Any],
    *,
    workspace: Workspace,
    on_progress: OnProgress = ignore,
) -> SuggestedImages:
    """Choose the images to label next.

    Args:
        files: the folder, and the labels that are read.
        budget: number of images to choose.
        overrides: given settings, as a tree of ``LabelOptions``; a backbone is named.
        workspace: whose store keeps features.
        on_progress: called with the number of images embedded so far and in all.

    Raises:
        UserError: the budget does not fit the folder, or an error of ``kmpl.jobs.sharded_folder.read``.
    """
    with own_folder(workspace.scratch) as folder:
        sharded = read(files, overrides, workspace=workspace, folder=folder, on_progress=on_progress)
        images = sharded.images
        check_budget(images.labels, budget)
        has_classes = len(images.classes) > 1
        found = suggest_in_shards(
            sharded.features,
            images.labels,
            budget=budget,
            seed=merge(LabelOptions(), overrides).seed,
            digests=images.digests,
            confidence=(lambda: _confidence(sharded, overrides, folder)) if has_classes else None,
        )
        return _alone(sharded, found, budget)


def _confidence(sharded: ShardedFolder, overrides: Mapping[str, Any], folder: ShardFolder) -> np.ndarray:
    """Return the confidence of ``kmpl label``'s last classifier, (N,)."""
    without_check = {name: value for name, value in overrides.items() if name not in OF_THE_CHECK} | {"check": "off"}
    job = prepare(sharded.images, without_check)
    structure = find_structure(
        sharded.features,
        n_clusters=job.config.clustering.n_clusters,
        seed=derive(job.options.seed, "structure"),
        folder=folder,
    )
    return label_shards(job, structure).table.confidence


def _alone(sharded: ShardedFolder, found: ShardSuggestions, budget: int) -> SuggestedImages:
    """Return the images that are suggested, without the others."""
    images, n = sharded.images, len(found.images)
    suggestions = Suggestions(
        images=np.arange(n),
        reasons=found.reasons,
        clusters=Clusters(assignment=found.clusters, centroids=np.zeros((0, 0)), inertia=0.0),
        confidence=None if found.confidence is None else found.confidence[found.images],
    )
    alone = replace(
        images,
        files=tuple(images.files[i] for i in found.images),
        digests=tuple(images.digests[i] for i in found.images),
        labels=np.full(n, UNLABELLED),
        images=torch.empty((n, 3, 1, 1), dtype=torch.uint8),
    )
    return SuggestedImages(images=alone, suggestions=suggestions, budget=budget, n_images=len(images.files))
