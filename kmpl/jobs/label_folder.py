"""From a folder of image files to a CSV of labels and a gallery: read, label, track, write; nothing half-written."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmpl import tracking
from kmpl.config.labelling import LabelOptions
from kmpl.datasets.image_folder import OWN_LABELS, FolderImages, OnProgress, read_folder
from kmpl.datasets.types import Pool
from kmpl.errors import LabelsWarning, LeftOutWarning, ReadingWarning
from kmpl.formats.given_labels import NO_RULES, Rules
from kmpl.jobs.whole_job import Trainings, of_experiment
from kmpl.labelling import gallery
from kmpl.labelling.cross_fitting import stand_in
from kmpl.labelling.job import Job, prepare, run
from kmpl.labelling.label_table import Labelled, table
from kmpl.labelling.summary import check_record, note, numbers_of, shortened, target_name
from kmpl.method.experiment import Steps
from kmpl.runtime.files import whole_file
from kmpl.runtime.output_paths import check_apart, check_target
from kmpl.store.cached_steps import kept
from kmpl.store.store import Store
from kmpl.tracking.environment import environment
from kmpl.tracking.labelling_runs import labelling_run
from kmpl.training.watch import Watch, silent

SHOWN = 20
"""Files that a warning names."""


@dataclass(frozen=True)
class Files:
    """What is read and what is written."""

    folder: Path
    out: Path
    """CSV of all labels."""
    labels: Path | None = None
    """CSV of given labels; None: ``labels.csv`` in the folder, or the names of sub-folders."""
    page: Path | None = None
    """The gallery."""
    overwrite: bool = False
    rules: Rules = NO_RULES
    """What was said of names and labels that may be meant one way or the other."""

    @property
    def check_file(self) -> Path:
        """What is expected of the labels, beside their CSV: ``labels.csv`` → ``labels.check.json``."""
        return self.out.with_suffix(".check.json")

    def check(self) -> None:
        """Refuse, before any work, what could not be written at the end.

        Raises:
            UserError: as ``check_target``, or one of them is the CSV of given labels.
        """
        given = self.labels or self.folder / OWN_LABELS
        check_apart({"--labels": given, "--out": self.out, "--gallery": self.page, "the check": self.check_file})
        for path, flag in ((self.out, "--out"), (self.page, "--gallery"), (self.check_file, "the check beside --out")):
            if path is not None:
                check_target(path, flag, self.overwrite)


def read(files: Files, size: int, on_progress: OnProgress = silent) -> FolderImages:
    """Return the images of the folder; warn of files left out, of labels that may be wrong, of how files were read."""
    files.check()
    found = read_folder(files.folder, files.labels, size, on_progress=on_progress, rules=files.rules)
    for said in found.notes:
        warnings.warn(f"{_labels_of(files)}: {said}", LabelsWarning, stacklevel=2)
    for said in (_left_out(found), _conflicts(found)):
        if said:
            warnings.warn(f"{found.root}: {said}", LeftOutWarning, stacklevel=2)
    for said in found.said:
        warnings.warn(f"{found.root}: {said}", ReadingWarning, stacklevel=2)
    return found


def _labels_of(files: Files) -> Path:
    own = files.folder / OWN_LABELS
    return files.labels or (own if own.is_file() else files.folder)


def _left_out(found: FolderImages) -> str:
    names = [f"{file} ({why})" for file, why in found.left_out.items()]
    said = "1 file cannot be read and is" if len(names) == 1 else f"{len(names):,} files cannot be read and are"
    return f"{said} left out: {shortened(names, SHOWN)}" if names else ""


def _conflicts(found: FolderImages) -> str:
    same = [shortened(files, 5, between=" = ") for files in found.conflicts]
    said = "1 image has copies" if len(same) == 1 else f"{len(same):,} images have copies"
    return f"{said} with another label: {shortened(same, SHOWN)}" if same else ""


def label(
    files: Files,
    found: FolderImages,
    given: dict[str, Any],
    mlruns: Path,
    command: str = "",
    watch: Watch | None = None,
    entering: Callable[[str], None] = silent,
    wrap: Callable[[Steps, str], Steps] = lambda steps, name: steps,  # noqa: ARG005
) -> tuple[Labelled, str]:
    """Label a folder, write what was asked for, and return the labels and the id of the run in MLflow.

    Args:
        files: where from and where to.
        found: what was read.
        given: settings that were given, as a tree of ``LabelOptions``.
        mlruns: folder of the tracked runs and of the store of finished steps: killed and run again, it goes on.
        command: what was typed.
        watch: told of training.
        entering: told of each part of the work.
        wrap: gives the steps as an engine runs them.

    Raises:
        UserError: what ``kmpl.labelling.job.prepare`` says, or a file cannot be written.
    """
    job = prepare(found, given)
    client = tracking.open_store(mlruns)
    pools: list[Pool] = []
    plain = Steps(evaluate=_closed, watch=watch or Watch(), begun=pools.append, entering=entering)
    run_of_folder = labelling_run(
        client,
        name=f"label {target_name(found.root)}",
        folder=found.root,
        settings=job.options.model_dump(mode="json"),
        locks=mlruns / "locks",
        command=command,
    )
    with tracking.store_answers(), run_of_folder as tracked:
        made, done = run(job, wrap(kept(plain, Store(mlruns / "cache")), f"label {found.root.name}"))
        texts = {"labels.csv": table(done), "gallery.html": gallery.page(done, _about(job, command))}
        texts["check.json"] = json.dumps(check_record(done), indent=2) + "\n"
        tracked.finished(pools[0], made, numbers=numbers_of(done), note=note(done), files=texts)
        _write(files, texts)
    return done, tracked.id


def _write(files: Files, texts: Mapping[str, str]) -> None:
    for path, name in ((files.out, "labels.csv"), (files.check_file, "check.json"), (files.page, "gallery.html")):
        if path is not None:
            with whole_file(path) as draft:
                draft.write_text(texts[name], encoding="utf-8", newline="")


def trainings(found: FolderImages, given: dict[str, Any]) -> Trainings:
    """Return the trainings of labelling a folder, those of the check included; a guess, for people.

    Raises:
        UserError: what ``kmpl.labelling.job.prepare`` says.
    """
    job = prepare(found, given)
    folds = 0 if job.options.check == "off" else job.options.folds
    return [*of_experiment(job.config), *folds * [*of_experiment(stand_in(job.config))]]


def _closed(*_: object) -> Any:
    raise AssertionError("a folder of one's own has no test set")


def _about(job: Job, command: str) -> dict[str, str]:
    about = {"command": command, "seed": str(job.options.seed), "network": job.config.network}
    about |= {"clusters": str(job.config.clustering.n_clusters), "rounds at most": str(job.config.pseudo_labels.rounds)}
    about |= {"kmpl": environment()["version.kmpl"]}
    return {name: text for name, text in about.items() if text}


def options(given: dict[str, Any]) -> LabelOptions:
    """Return the options that are needed before the folder is read."""
    return LabelOptions.model_validate(given)
