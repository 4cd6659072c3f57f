"""The flow ``label-images`` on a project of Label Studio: one pass of pull, label, push."""

from pathlib import Path

from prefect import flow, get_run_logger

from flows.label_images import label_files
from flows.parameters import checked
from kmpl.config.labelling import LabelOptions
from kmpl.errors import UserError
from kmpl.formats.given_labels import Rules
from kmpl.jobs.label_files import Files
from kmpl.jobs.label_studio import Place, one_pass

_DEFAULT = LabelOptions()


@checked
@flow(name="label-images", flow_run_name="label studio: {folder}", timeout_seconds=14 * 24 * 3600, persist_result=False)
def label_studio(
    folder: Path,
    url: str,
    project: str,
    out: Path = Path("pseudo_labels.csv"),
    gallery: Path | None = None,
    classes: tuple[str, ...] = (),
    class_named: tuple[str, ...] = (),
    upload: bool = False,
    server_path: str | None = None,
    settings: LabelOptions = _DEFAULT,
) -> None:
    """Label a folder by what people have annotated in Label Studio, and push the labels as predictions there.

    The worker's environment holds the token, LABEL_STUDIO_API_KEY. A second run labels by what is annotated by then.

    Args:
        folder: Folder of images.
        url: Address of Label Studio, like http://localhost:8080.
        project: Title or number of the project.
        out: CSV of labels to write, anew in each run; the pulled ones are beside it, as NAME.given.csv.
        gallery: HTML page of the result to write.
        classes: Classes that the project offers, besides those of the labels.
        class_named: Names that are classes in this folder, although kmpl reads them elsewhere as "no label".
        upload: Upload the images. Otherwise Label Studio reads the folder itself.
        server_path: Path of the folder on Label Studio's machine, if it is another one there.
        settings: Settings. Those that are not given are chosen by the number of images and classes.
    """
    place = Place(folder=folder, url=url, project=project, classes=classes, upload=upload, server_path=server_path)
    files = Files(folder, out, gallery=gallery, rules=Rules(class_named))
    done = one_pass(place, files, lambda drafts: label_files(drafts, settings), get_run_logger().info)
    if not done.labelled and done.unlabelled:
        raise UserError(f"{url}, project {project}: fewer than two classes are annotated; annotate more, and run again")
