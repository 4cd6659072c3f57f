"""Label a folder of image files: read the images, label them, track the run, write a file of labels and a gallery."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kmpl import tracking
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import Pool
from kmpl.formats import writing
from kmpl.formats.records import LabelRecord
from kmpl.jobs.label_files import Files
from kmpl.jobs.whole_job import Trainings, of_experiment
from kmpl.jobs.workspace import Workspace
from kmpl.labelling import gallery, reference
from kmpl.labelling.cross_fitting import fold_config
from kmpl.labelling.job import Job, prepare, run
from kmpl.labelling.label_table import LabelTable, records_of, to_csv
from kmpl.labelling.making_reference import reference_of
from kmpl.labelling.reference import Source
from kmpl.labelling.summary import check_record, metrics_of, run_note
from kmpl.labelling.ways import choose
from kmpl.labelling.words import folder_name
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.frozen_network import sees_images
from kmpl.runtime.files import whole_file
from kmpl.store.cached_steps import cached
from kmpl.tracking.environment import environment
from kmpl.tracking.labelling_runs import LabellingRun, labelling_run
from kmpl.training.watch import Watch, ignore


def label(
    files: Files,
    images: FolderImages,
    overrides: dict[str, Any],
    *,
    mlruns: Path,
    command: str = "",
    watch: Watch | None = None,
    entering: Callable[[str], None] = ignore,
    wrap: Callable[[Steps, str], Steps] = lambda steps, name: steps,  # noqa: ARG005
) -> tuple[LabelTable, str]:
    """Label a folder, write the output files, and return the labels and the id of the run in MLflow.

    Args:
        files: input and output files.
        images: of the folder, from ``read``.
        overrides: given settings, as a tree of ``LabelOptions``.
        mlruns: folder of the tracked runs and of the store of finished steps; a second run after a kill resumes there.
        command: command line that started the labelling.
        watch: receives the events of training.
        entering: receives the name of each part of the work.
        wrap: returns the steps as an engine runs them.

    Raises:
        UserError: an error of ``kmpl.labelling.job.prepare``, or a file cannot be written.
    """
    images = prepare(images, overrides).folder  # what cannot be labelled is refused before a run is opened
    client, workspace = tracking.open_store(mlruns), Workspace(mlruns)
    pools: list[Pool] = []
    no_test = no_test_set("a folder of one's own has no test set")
    plain = Steps(evaluate=no_test, watch=watch or Watch(), begun=pools.append, entering=entering)
    steps = wrap(cached(plain, workspace.store), f"label {images.root.name}")
    run_of_folder = labelling_run(
        client, name=f"label {folder_name(images.root)}", folder=images.root, locks=workspace.locks, command=command
    )
    with tracking.store_answers(), run_of_folder as tracked:
        labels, texts = _label_tracked(files, images, overrides, tracked, pools, steps=steps, command=command)
        _write_all(files, texts, records_of(labels))
    return labels, tracked.id


def _label_tracked(
    files: Files,
    images: FolderImages,
    overrides: dict[str, Any],
    tracked: LabellingRun,
    pools: list[Pool],
    *,
    steps: Steps,
    command: str,
) -> tuple[LabelTable, dict[str, str]]:
    """Label images in an open run; return the labels, and the contents of the output files."""
    choice = choose(images, overrides, steps)
    tracked.log_way(choice.job.options.model_dump(mode="json"), choice.job.config.backbone, choice.reason)
    labelling, labels = run(choice.job, steps, choice.fit)
    labels = replace(labels, way=choice.reason, has_model=sees_images(labelling.fit.network))
    texts = _texts(labels, choice.job, command)
    kept: dict[str, str | bytes] = dict(texts)
    if labels.has_model:
        source = _source(files, images, overrides)
        kept[reference.FILE] = reference.to_bytes(reference_of(choice.job, labelling, labels, source))
    tracked.log_result(
        pools[0], labelling, numbers=metrics_of(labels), curve=labels.curve, note=run_note(labels), files=kept
    )
    return labels, texts


def _source(files: Files, images: FolderImages, overrides: Mapping[str, Any]) -> Source:
    """Return where labels were read and written."""
    return Source(
        out=str(files.lasting(files.out)),
        out_format=files.format,
        labels_file=str(files.lasting(images.labels_file)) if images.labels_file else "",
        class_named=files.rules.class_named,
        trust=files.rules.trust,
        format=files.rules.format,
        settings=dict(overrides),
    )


def _texts(labels: LabelTable, job: Job, command: str) -> dict[str, str]:
    """Return the contents of the output files, by the name that they have in MLflow."""
    return {
        "labels.csv": to_csv(labels),
        "gallery.html": gallery.html(labels, _gallery_details(job, command)),
        "check.json": json.dumps(check_record(labels), indent=2) + "\n",
    }


def _write_all(files: Files, texts: Mapping[str, str], records: list[LabelRecord]) -> None:
    writing.write(records, files.out, files.folder, files.format)
    _write(files.check_file, texts["check.json"])
    if files.gallery is not None:
        _write(files.gallery, texts["gallery.html"])


def _write(path: Path, text: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def trainings(images: FolderImages, overrides: dict[str, Any]) -> Trainings:
    """Return the trainings of a labelling, with those of its check; an estimate for people.

    Args:
        images: of the folder, from ``read``.
        overrides: given settings, as a tree of ``LabelOptions``.

    Raises:
        UserError: an error of ``kmpl.labelling.job.prepare``.
    """
    job = prepare(images, overrides)
    n_folds = 0 if job.options.check == "off" else job.options.folds
    return [*of_experiment(job.config), *n_folds * [*of_experiment(fold_config(job.config))]]


def _gallery_details(job: Job, command: str) -> dict[str, str]:
    """Return the details at the foot of the gallery, by name."""
    details = {
        "command": command,
        "seed": str(job.options.seed),
        **({"backbone": job.config.backbone} if job.folder.frozen else {"network": job.config.network}),
        "clusters": str(job.config.clustering.n_clusters),
        "rounds at most": str(job.config.pseudo_labels.rounds),
        "kmpl": environment()["version.kmpl"],
    }
    return {name: text for name, text in details.items() if text}


def options(overrides: dict[str, Any]) -> LabelOptions:
    """Return the options of a labelling as far as they do not depend on the images."""
    return LabelOptions.model_validate(overrides)
