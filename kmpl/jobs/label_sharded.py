"""Label a large folder in shards: features on disk, labels written in a stream, the run tracked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kmpl import tracking
from kmpl.datasets.feature_shards import ShardFolder
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.formats import shard_files
from kmpl.images.reading import OnProgress
from kmpl.jobs.label_files import Files
from kmpl.jobs.shard_scratch import own_folder
from kmpl.jobs.sharded_folder import ShardedFolder, read
from kmpl.jobs.workspace import Workspace
from kmpl.labelling.job import Job, prepare
from kmpl.labelling.label_table import LabelTable, each_record
from kmpl.labelling.shard_labels import label_shards
from kmpl.labelling.summary import check_record, metrics_of, run_note
from kmpl.labelling.words import folder_name
from kmpl.method.shard_structure import find_structure
from kmpl.models.frozen_network import FrozenNetwork, sees_images
from kmpl.runtime.files import whole_file
from kmpl.runtime.seeds import derive
from kmpl.tracking.labelling_runs import labelling_run
from kmpl.training.watch import ignore


def label(
    files: Files,
    overrides: Mapping[str, Any],
    *,
    mlruns: Path,
    command: str = "",
    on_progress: OnProgress = ignore,
    entering: Callable[[str], None] = ignore,
) -> tuple[LabelTable, str]:
    """Label a folder in shards, write the output files, and return the labels and the id of the run in MLflow.

    Args:
        files: input and output files.
        overrides: given settings, as a tree of ``LabelOptions``; a backbone is named.
        mlruns: folder of the tracked runs and of the store of finished steps; a second run after a kill resumes there.
        command: command line that started the labelling.
        on_progress: called with the number of images embedded so far and in all.
        entering: receives the name of each part of the work.

    Raises:
        UserError: an error of ``kmpl.jobs.sharded_folder.read`` or of ``prepare``, or a file cannot be written.
    """
    _check(files)
    workspace = Workspace(mlruns)
    with own_folder(workspace.scratch) as folder:
        sharded = read(files, overrides, workspace=workspace, folder=folder, on_progress=on_progress)
        job = prepare(sharded.images, overrides)  # what cannot be labelled is refused before a run is opened
        client = tracking.open_store(mlruns)
        name = f"label {folder_name(files.folder)}"
        run_of_folder = labelling_run(client, name=name, folder=files.folder, locks=workspace.locks, command=command)
        with tracking.store_answers(), run_of_folder as tracked:
            tracked.log_way(job.options.model_dump(mode="json"), job.config.backbone, "")
            labels, network = _labelled(job, sharded, folder, entering)
            text = json.dumps(check_record(labels), indent=2) + "\n"
            pool, kept = _pool(sharded.images), {"check.json": text}
            tracked.log_labels(pool, network, numbers=metrics_of(labels), note=run_note(labels), files=kept)
            entering("write labels")
            shard_files.write(each_record(labels), [len(shard) for shard in sharded.features], files.out)
            with whole_file(files.check_file) as draft:
                draft.write_text(text, encoding="utf-8", newline="")
    return labels, tracked.id


def _check(files: Files) -> None:
    """Refuse files that shards do not write.

    Raises:
        UserError: in one line.
    """
    shard_files.check_place(files.out, overwrite=files.overwrite)
    if files.gallery is not None:
        raise UserError("--gallery: shows pictures that are in memory; leave it out with shards")


def _labelled(
    job: Job, sharded: ShardedFolder, folder: ShardFolder, entering: Callable[[str], None]
) -> tuple[LabelTable, FrozenNetwork]:
    entering("cluster")
    structure = find_structure(
        sharded.features,
        n_clusters=job.config.clustering.n_clusters,
        seed=derive(job.options.seed, "structure"),
        folder=folder,
    )
    entering("vote, and hide labels in turn")
    found = label_shards(job, structure)
    frozen = sharded.images.frozen
    assert frozen is not None, "shards hold features of a backbone"
    network = FrozenNetwork(
        frozen.backbone, dimension=frozen.values.shape[1], n_classes=len(sharded.images.classes), root=frozen.root
    )
    network.set_head(*sharded.projection.of_head(found.weight, found.bias))
    n_shards = len(sharded.features)
    way = f"Way: features of {frozen.name} in {n_shards} shard{'' if n_shards == 1 else 's'}"
    return replace(found.table, way=way, has_model=sees_images(network)), network


def _pool(images: FolderImages) -> Pool:
    """Return what a model must know of the images: their classes, and how they are read."""
    frozen = images.frozen
    assert frozen is not None, "shards hold features of a backbone"
    none = np.empty(0, dtype=np.int64)
    return Pool(
        images=images.images,
        labels=none,
        validation_images=images.images,
        validation_labels=none,
        sources=none,
        validation_sources=none,
        views=(),
        classes=images.classes,
        raw_shape=(3, frozen.side, frozen.side),
        digest="",
        conversion=images.conversion,
        frozen=frozen,
    )
