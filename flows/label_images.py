"""The flow ``label-images``: a folder of images and a few labels → labels for all of them, and a gallery to look at."""

import os
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import deployment

from flows.tasks import as_tasks, run_task
from kmpl.config.labelling import LabelOptions
from kmpl.formats.given_labels import Rules, Trust
from kmpl.jobs import label_folder
from kmpl.jobs.label_folder import Files
from kmpl.labelling.label_table import Labelled
from kmpl.labelling.summary import check_line, early_line, hidden_line, summary, summary_line, warnings_of
from kmpl.reports.sweep_page import grid

_DEFAULT = LabelOptions()


@flow(name="label-images", flow_run_name="label {folder}", timeout_seconds=14 * 24 * 3600, persist_result=False)
def label_images(
    folder: Path,
    out: Path = Path("pseudo_labels.csv"),
    labels: Path | None = None,
    gallery: Path | None = None,
    class_named: tuple[str, ...] = (),
    trust: Trust | None = None,
    overwrite: bool = False,
    settings: LabelOptions = _DEFAULT,
) -> None:
    """Label a folder of images by a few that are labelled; run again, it goes on where it was.

    Args:
        folder: Folder of images, with or without sub-folders.
        out: CSV to write: file, label (empty where unsure), confidence, cluster, round, source, and what was assigned.
            NAME.check.json beside it says what is expected of the labels.
        labels: CSV of the given labels (file, label). Empty: labels.csv in the folder, or the names of sub-folders.
        gallery: HTML page to write, to look at the result.
        class_named: Names that are classes here, though elsewhere they say that there is no label or mean a part of a
            data set.
        trust: What counts of the labels that kmpl assigned, in a CSV of its own that is given back: assigned (all),
            given (none). Empty: all, if a person worked on the CSV; else it is refused.
        overwrite: Replace files that exist.
        settings: Single settings; those not given are chosen by the number of images and classes.
    """
    rules, given = Rules(class_named, trust), settings.model_dump(exclude_unset=True)
    files = Files(folder, out, labels, gallery, overwrite, rules)
    found = run_task("load", "read images", lambda: label_folder.read(files, settings.size))
    for file, why in list(found.left_out.items())[: label_folder.SHOWN]:
        get_run_logger().warning("left out: %s (%s)", file, why)
    if len(found.left_out) > label_folder.SHOWN:
        get_run_logger().warning("left out in all: %d files", len(found.left_out))
    for said in (*found.notes, *found.said):
        get_run_logger().warning("%s", said)
    done, run = label_folder.label(files, found, given, _mlruns(), _command(), wrap=as_tasks)
    get_run_logger().info("%s", check_line(done))
    for line in warnings_of(done):
        get_run_logger().warning("%s", line)
    if early := early_line(done):
        get_run_logger().info("%s", early)
    get_run_logger().info("%s; run %s in MLflow", summary_line(done), run)
    run_task("report", "report", lambda: _show(done))


def _mlruns() -> Path:
    return Path(os.environ.get("KMPL_MLRUNS", "mlruns")).resolve()


def _command() -> str:
    name = deployment.name
    return f"prefect deployment run label-images/{name}" if name else "label_images()"


def _show(done: Labelled) -> None:
    """Put the summary on the flow run's page."""
    rows = [[c.name, f"{c.given:,}", f"{c.assigned:,}", f"{c.unsure:,}", f"{c.median:.3f}"] for c in summary(done)]
    table = grid(["class", "given", "assigned", "unsure", "confidence, median"], rows, left=("class",))
    said = [check_line(done), *warnings_of(done), f"{summary_line(done)}. {hidden_line(done)}"]
    text = "\n\n".join([*(f"{line}." for line in said), table]) + "\n"
    create_markdown_artifact(text, key="labels", description=f"Labels of {done.found.root}")
