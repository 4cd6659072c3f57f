"""``kmpl label-studio``: a folder's images and labels in Label Studio, and its annotations back."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from kmpl.commands.folder_options import embed_from_options, read_from_options, warnings_in_one_line
from kmpl.commands.label_studio_options import LoopOptions, PullOptions, PushOptions
from kmpl.commands.options import overrides_of
from kmpl.config.backbones import check_backbone
from kmpl.config.labelling import LabelOptions, check_choice
from kmpl.errors import look_up
from kmpl.formats.given_labels import Rules
from kmpl.formats.registry import FORMATS
from kmpl.runtime.input_paths import check_labels
from kmpl.runtime.output_paths import check_target
from kmpl.runtime.typed_command import next_command, typed_command

if TYPE_CHECKING:
    from kmpl.jobs.label_files import Files


def push(folder: Path, /, *, options: Annotated[PushOptions, Parameter(name="*", negative_iterable="")]) -> None:
    """Make tasks of a folder's images, with labels. What people have annotated stays; a second push adds what is new.

    Args:
        folder: Folder of images.
        options: Which project, and which labels.
    """
    options.check(folder)
    check_labels(options.labels)
    if options.format is not None:
        look_up(FORMATS, options.format, "format")
    rules = Rules(options.class_named, None, options.format)
    from kmpl.jobs.label_studio import push_labels, pushed_line

    done, project, notes = push_labels(options.place(folder), options.labels, rules, options.say)
    _print_notes(notes, str(options.labels))
    options.say(pushed_line(done, project))
    words = ["label-studio", "pull", str(folder), "--url", options.url, "--project", options.project]
    options.say(f"Next: annotate there, then: {next_command(*words, '--out', 'labels.csv')}")


def pull(folder: Path, /, *, options: Annotated[PullOptions, Parameter(name="*", negative_iterable="")]) -> None:
    """Write what people have annotated as a CSV of given labels.

    Args:
        folder: Folder of images.
        options: Which project, and the file to write.
    """
    options.check(folder)
    check_target(options.out, "--out", options.overwrite)
    from kmpl.jobs.label_studio import Place, pull_to

    place = Place(folder=folder, url=options.url, project=options.project)
    given, project = pull_to(place, options.out, Rules(options.class_named))
    _print_notes(given.notes, project.page)
    count = "1 label" if len(given.labels) == 1 else f"{len(given.labels):,} labels"
    options.say(f"{count} of {len({*given.labels.values()})} classes. Written: {options.out}")
    words = ["label", str(folder), "--labels", str(options.out), "--out", "pseudo_labels.csv"]
    options.say(f"Next: {next_command(*words)}")


def loop(
    folder: Path,
    /,
    *,
    options: Annotated[LoopOptions, Parameter(name="*", negative_iterable="")],
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Pull annotations, label the folder by them, push the labels, and again once there are more annotations.

    Args:
        folder: Folder of images.
        options: Which project, when, and the files to write.
        settings: Single settings of labelling, the same as for `kmpl label`.
    """
    overrides = overrides_of(settings)
    learning = LabelOptions.model_validate(overrides)
    check_backbone(learning.backbone)
    check_choice(overrides)
    options.check(folder)
    from kmpl.jobs.label_files import Files
    from kmpl.jobs.label_studio import one_pass, wait_for_annotations

    place = options.place(folder)
    files = Files(folder, options.out, gallery=options.gallery, rules=Rules(options.class_named))
    n_done = 0
    while True:
        done = one_pass(place, files, lambda drafts: _label(drafts, overrides, learning.size, options), options.say)
        n_done += done.labelled
        if done.unlabelled == 0:
            options.say("Every image is annotated: there is nothing to label")
            return
        if options.rounds and n_done >= options.rounds:
            return
        new = min(options.new, done.unlabelled)
        why = "" if done.labelled else "fewer than two classes are annotated; "
        options.say(f"{why}{done.annotations:,} annotations; waiting for {new} more (Ctrl-C ends)")
        wait_for_annotations(place, done.annotations + new, options.every, options.say)


def _label(files: "Files", overrides: dict[str, Any], size: int, options: LoopOptions) -> None:
    """Label a folder under progress bars, and print what is expected of the labels."""
    from kmpl.jobs import label_folder, progress_bars
    from kmpl.labelling.summary import check_line, summary_line, warning_lines

    console = Console(quiet=options.quiet)
    begin = time.monotonic()
    with warnings_in_one_line():
        images = read_from_options(files, size, console)
        trainings = label_folder.trainings(images, overrides)
        images = embed_from_options(images, overrides, options.mlruns, console)
        with progress_bars.show_training(console, trainings) as watch:
            labels, run_id = label_folder.label(
                files, images, overrides, mlruns=options.mlruns, command=typed_command(), watch=watch
            )
    for warning in warning_lines(labels):
        print(f"kmpl: {warning}", file=sys.stderr)
    options.say(f"{check_line(labels)}.")
    options.say(f"{summary_line(labels)}; {time.monotonic() - begin:.0f} s; run {run_id} in MLflow.")


def _print_notes(notes: tuple[str, ...], about: str) -> None:
    for note in notes:
        print(f"kmpl: {about}: {note}", file=sys.stderr)
