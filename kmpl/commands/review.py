"""``kmpl review``: a local page on which a person names the images of a folder, a cluster at a time."""

import os
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import Field
from rich.console import Console
from rich.markup import escape

from kmpl.commands.flags import Flag, flags_of
from kmpl.commands.folder_options import FolderOptions, embed_from_options, file_progress, warnings_in_one_line
from kmpl.commands.options import overrides_of
from kmpl.config.backbones import check_backbone
from kmpl.config.labelling import LabelOptions
from kmpl.errors import FileError
from kmpl.formats.registry import FORMATS
from kmpl.formats.writing import check_place, name_for
from kmpl.runtime.input_paths import check_folder, check_labels
from kmpl.runtime.output_paths import check_apart, check_target, free_name
from kmpl.runtime.servers import check_port
from kmpl.runtime.typed_command import next_command

if TYPE_CHECKING:
    from kmpl.review.session import Review


class ReviewOptions(FolderOptions):
    """The folder's labels, the file to write, and the page."""

    out: Path = Path("labels.csv")
    """File of labels to write, as `kmpl label` names its formats; source says what a label is from: given (a person,
    of this very image), cluster (the name of its cluster) or assigned (by an earlier `kmpl label`)."""
    out_format: str | None = None
    """Format of --out, if its name does not tell it: csv, label-studio, huggingface, fiftyone, …"""
    clusters: Annotated[int | None, Parameter(negative="")] = Field(default=None, ge=1)
    """Clusters of a round; without it 2 √N of N images."""
    port: int = 0
    """Port on 127.0.0.1; 0 = one that is free."""
    no_browser: Flag = False
    """Print the address, and open no browser."""

    def check(self, folder: Path) -> None:
        """Refuse, before anything heavy is imported, paths and a port that cannot be used.

        Raises:
            UserError: there is no such folder or file of labels, ``out`` cannot be written, or the port is not free.
        """
        check_folder(folder)
        check_labels(self.labels)
        check_apart({"--labels": self.labels, "--out": self.out})
        name = name_for(self.out, self.out_format)
        if FORMATS[name].is_folder:
            problem = "is a folder, which a review cannot write again and again"
            raise FileError(f"--out-format {name}: {problem}; name the format of a file", self.out)
        check_place(self.out, folder, name)
        check_target(self.out, "--out")
        if self.port:
            check_port(self.port, "the review page", "--port")


def review(
    folder: Path,
    /,
    *,
    options: Annotated[ReviewOptions | None, Parameter(name="*", negative_iterable="")] = None,
    settings: Annotated[LabelOptions | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Name the images of a folder on a local page, a cluster at a time. Ctrl-C ends it and writes the labels.

    Each key press is kept at once: killed and run again, it goes on where it was.

    Args:
        folder: Folder of images, with or without sub-folders, with or without labels.
        options: The folder's labels, the file to write, and the page.
        settings: Single settings of labelling, the same as for `kmpl label`.
    """
    options = options or ReviewOptions()
    overrides = overrides_of(settings)
    learning = LabelOptions.model_validate(overrides)
    check_backbone(learning.backbone)
    options.check(folder)
    from kmpl.jobs import folder_images, progress_bars, review_folder, whole_job

    console = Console(quiet=options.quiet)
    files = replace(options.files(folder), out_format=options.out_format)
    with warnings_in_one_line():
        with file_progress(console, "read images") as on_progress:
            images = review_folder.read(files, learning.size, on_progress)
        chosen = folder_images.settings_for(images, overrides)
        images = embed_from_options(images, chosen, options.mlruns, console)
        with progress_bars.show_training(console, whole_job.of_pretext(learning, len(images.files))) as watch:
            features = review_folder.features(images, chosen, mlruns=options.mlruns, watch=watch)
        with review_folder.open_review(
            files, images, features, mlruns=options.mlruns, seed=learning.seed, n_clusters=options.clusters
        ) as opened:
            _serve(opened, options, console)
    _print_next_step(folder, opened, options, overrides, console)


def _serve(review: "Review", options: ReviewOptions, console: Console) -> None:
    """Serve the page until a signal ends it, then write the labels if there is anything new."""
    from kmpl.jobs import review_folder
    from kmpl.review.server import serve

    console.print(f"Journal: {escape(str(review.journal.path))}", highlight=False, soft_wrap=True)
    if review.journal.read_only:
        print("kmpl: another process has this review open; here it can only be read", file=sys.stderr)
    thumbnails = review_folder.thumbnails(review.images, options.mlruns)
    serve(review, thumbnails, port=options.port, on_start=_announcer(open_browser=not options.no_browser))
    if not review.journal.read_only and not review.is_written():
        console.print(f"Written: [bold]{escape(review.write())}[/bold]", highlight=False, soft_wrap=True)


def _announcer(*, open_browser: bool) -> Callable[[str], None]:
    """Return what prints the address when the page answers, and opens it where there is a screen."""

    def announce(address: str) -> None:
        print(f"Review: {address}  (Ctrl-C ends it and writes the labels)", flush=True)
        has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
        if open_browser and has_screen:  # else a browser for terminals might take this one
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    return announce


def _print_next_step(
    folder: Path, review: "Review", options: ReviewOptions, settings: dict[str, Any], console: Console
) -> None:
    """Print the command that labels the rest of the folder, where there is a rest and something to learn from."""
    out = review.target.path
    snapshot = review.snapshot()
    if not out.exists() or len(snapshot.classes) < 2 or not len(review.unnamed()):
        return
    arguments = [str(folder), "--labels", str(out), "--out", str(free_name(Path("pseudo_labels.csv")))]
    arguments += [*options.reading_flags(), *flags_of(settings)]
    command = escape(next_command("label", *arguments, mlruns=options.mlruns))
    console.print(f"Next, to label the rest: [bold]{command}[/bold]", highlight=False, soft_wrap=True)
