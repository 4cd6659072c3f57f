"""The flow ``label-images``: from a folder of images and a few labels to labels for all images, and a gallery."""

from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import deployment

from flows.parameters import checked
from flows.tasks import as_tasks, run_task
from kmpl.config.labelling import LabelOptions, check_new_files
from kmpl.datasets.image_folder import FolderImages
from kmpl.formats.given_labels import Rules, Trust
from kmpl.jobs import folder_images, label_folder, label_new_files
from kmpl.jobs.label_files import Files
from kmpl.jobs.reading_warnings import MAX_NAMED_FILES
from kmpl.jobs.table_lock import table_lock
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.new_files_summary import lines as new_files_lines
from kmpl.labelling.summary import (
    check_line,
    class_summaries,
    early_line,
    remark_lines,
    summary_line,
    validation_line,
    warning_lines,
)
from kmpl.reports.sweep_page import grid
from kmpl.runtime.addresses import runs_folder

_DEFAULT = LabelOptions()


@checked
@flow(name="label-images", flow_run_name="label {folder}", timeout_seconds=14 * 24 * 3600, persist_result=False)
def label_images(
    folder: Path,
    out: Path = Path("pseudo_labels.csv"),
    labels: Path | None = None,
    gallery: Path | None = None,
    class_named: tuple[str, ...] = (),
    trust: Trust | None = None,
    overwrite: bool = False,
    format: str | None = None,
    out_format: str | None = None,
    new_files: bool = False,
    settings: LabelOptions = _DEFAULT,
) -> None:
    """Label a folder of images of which a few are labelled. A second run with the same parameters resumes the first.

    Args:
        folder: Folder of images, with or without sub-folders.
        out: File of labels to write: .csv, .parquet, .json (Label Studio), metadata.jsonl (Hugging Face), labels.json
            (FiftyOne). NAME.check.json beside it holds the expected accuracy of the labels.
        labels: File of the given labels: a CSV (file, label), or what a labelling tool exports. Empty: labels.csv in
            the folder, or the names of sub-folders.
        gallery: HTML page of the result to write.
        class_named: Names that are classes in this folder, although kmpl reads them elsewhere as "no label" or as a
            part of a data set.
        trust: Labels of kmpl's own that count as given, if the CSV of labels is one that kmpl wrote: assigned (all of
            them), given (none of them). Empty: all, if a person has worked on the CSV; otherwise the CSV is refused.
        overwrite: Replace existing files.
        format: Format of labels, if its content does not tell it.
        out_format: Format of out, if its name does not tell it.
        new_files: Label only what is new, by the model that is there: rows are added to out, and no gallery is written.
        settings: Settings. Those that are not given are chosen by the number of images and classes.
    """
    files = Files(folder, out, labels, gallery, overwrite, Rules(class_named, trust, format), out_format)
    if new_files:
        label_new(files, settings)
    else:
        with table_lock(files.out, runs_folder(), _command()):
            label_files(files, settings)


def label_new(files: Files, settings: LabelOptions) -> None:
    """Label what is new in a folder, as a task, and say what was found on the flow run's page."""
    check_new_files(settings.model_dump(exclude_unset=True))
    done = run_task(
        "embed",
        "label new files",
        lambda: label_new_files.label(
            files,
            files.out,
            mlruns=runs_folder(),
            again="prefect deployment run label-images/folder",
            command=_command(),
            device=settings.device,
            threads=settings.threads,
        ),
    )
    found = new_files_lines(done.summary)
    for line in found:
        get_run_logger().info("%s", line)
    text = "\n\n".join(f"{line}." for line in found) + "\n"
    create_markdown_artifact(text, key="new-files", description=f"New files of {files.folder}")


def label_files(files: Files, settings: LabelOptions) -> None:
    """Label a folder, each step a task, and show the summary on the flow run's page."""
    images = run_task("load", "read images", lambda: folder_images.read(files, settings.size))
    _log_warnings(images)
    overrides = settings.model_dump(exclude_unset=True)
    mlruns = runs_folder()
    images = run_task("embed", "embed images", lambda: folder_images.embed(images, overrides, mlruns=mlruns))
    labelled, run_id = label_folder.label(
        files,
        images,
        overrides,
        mlruns=mlruns,
        command=_command(),
        wrap=as_tasks,
    )
    _log_result(labelled, run_id)
    run_task("report", "report", lambda: _create_artifact(labelled))


def _log_result(labelled: LabelTable, run_id: str) -> None:
    """Log what is expected of the labels, what speaks against them, and how many there are."""
    logger = get_run_logger()
    logger.info("%s", check_line(labelled))
    for line in warning_lines(labelled):
        logger.warning("%s", line)
    for line in (labelled.way, early_line(labelled), *remark_lines(labelled)):
        if line:
            logger.info("%s", line)
    logger.info("%s; run %s in MLflow", summary_line(labelled), run_id)


def _log_warnings(images: FolderImages) -> None:
    """Log the first of the files that were left out, and the notes on labels and on how files were read."""
    logger = get_run_logger()
    for file, reason in list(images.left_out.items())[:MAX_NAMED_FILES]:
        logger.warning("left out: %s (%s)", file, reason)
    if len(images.left_out) > MAX_NAMED_FILES:
        logger.warning("left out in all: %d files", len(images.left_out))
    for line in (*images.label_notes, *images.reading_notes):
        logger.warning("%s", line)


def _command() -> str:
    name = deployment.name
    return f"prefect deployment run label-images/{name}" if name else "label_images()"


def _create_artifact(labelled: LabelTable) -> None:
    """Show the summary on the flow run's page."""
    rows = [
        [c.name, f"{c.given:,}", f"{c.assigned:,}", f"{c.unsure:,}", f"{c.median:.3f}"]
        for c in class_summaries(labelled)
    ]
    table = grid(["class", "given", "assigned", "unsure", "confidence, median"], rows, left=("class",))
    lines = [check_line(labelled), *warning_lines(labelled), f"{summary_line(labelled)}. {validation_line(labelled)}"]
    text = "\n\n".join([*(f"{line}." for line in lines), table]) + "\n"
    create_markdown_artifact(text, key="labels", description=f"Labels of {labelled.folder.root}")
