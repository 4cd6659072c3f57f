"""``kmpl predict``: the class of image files, with a probability for each class.

As little as possible is imported before a model has answered: MLflow for its own addresses alone, PyTorch not for ONNX.
"""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.errors import IncompleteError, UserError
from kmpl.jobs.open_model import CHAMPION, check_there, chosen_on_few, open_classifier
from kmpl.runtime.output_paths import check_target
from kmpl.runtime.typed_command import next_command

if TYPE_CHECKING:
    from kmpl.models.classifier import Classifier

_BAR_FROM = 500  # files; fewer are read before a bar is seen


def predict(
    *paths: Path,
    model: str = CHAMPION,
    format: Literal["csv", "json", "request"] = "csv",
    out: Path | None = None,
    overwrite: Flag = False,
    mlruns: Folder = MLRUNS,
) -> None:
    """Say the class of image files, with a probability for each class. Exit status 1: some could not be read.

    Args:
        paths: Image files, and folders that are searched with all below them.
        model: models:/… or runs:/… as MLflow says it, the id of a run (of `kmpl label`, say, which prints it), or a
            file (.safetensors, .onnx); ONNX, which `kmpl export` writes, answers soonest.
        format: csv, json (an object a line), or request: no predictions but the pictures themselves, as a served
            model takes them.
        out: Write to this file instead of standard output.
        overwrite: Replace the file if it exists.
        mlruns: Folder of the tracked runs.
    """
    if not paths:
        raise UserError("name the image files, or folders of them, that are to be predicted")
    if out is not None:
        check_target(out, "--out", overwrite)
    flags = [*(["--format", format] if format != "csv" else []), *(["--out", str(out)] if out else [])]
    arguments = [*map(str, paths), *flags, *(["--overwrite"] if overwrite else [])]
    check_there(model, mlruns, lambda run: next_command("predict", *arguments, "--model", run, mlruns=mlruns))
    files, left_out = _find(paths)
    classifier = open_classifier(model, mlruns)
    if few := chosen_on_few(model, mlruns):
        print(f"kmpl: {few}", file=sys.stderr)
    predicted = _predict(classifier, files, format, out, left_out)
    if left_out:
        raise IncompleteError(f"{predicted:,} predicted, {len(left_out):,} left out")


def _find(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Return the files to read, and those that are left out with the reason; print the latter.

    Raises:
        UserError: there is no image.
    """
    from kmpl.images.file_kinds import by_content_sentence
    from kmpl.jobs.predict_files import find_pictures

    by_content: list[Path] = []
    files, left_out = find_pictures(paths, by_content.append)
    for sentence in by_content_sentence([str(path) for path in by_content]):
        print(f"kmpl: {sentence}", file=sys.stderr)
    for path, reason in left_out.items():
        _name_left_out(path, reason)
    if not files:
        raise UserError("there is no image to predict")
    return files, left_out


def _predict(
    classifier: "Classifier", files: Sequence[Path], form: str, out: Path | None, left_out: dict[Path, str]
) -> int:
    """Write the predictions, add what cannot be read to ``left_out``, and return how many images were predicted.

    Raises:
        UserError: no file can be read.
    """
    from kmpl.images.value_ranges import unknown_sentence
    from kmpl.jobs.predict_files import prediction_texts

    predicted = 0
    with _output(out) as file, _progress(len(files)) as advance:

        def unread(path: Path, reason: str) -> None:
            left_out[path] = reason
            _name_left_out(path, reason)

        for n_files, n_images, text in prediction_texts(classifier, files, form=form, on_unreadable=unread):
            file.write(text)
            predicted += n_images
            advance(n_files)
        for kind in sorted(classifier.unknown):
            print(f"kmpl: {unknown_sentence(kind)}", file=sys.stderr)
        if not predicted:
            raise UserError("none of the files could be read; nothing is predicted")
    return predicted


def _name_left_out(path: Path, reason: str) -> None:
    print(f"left out {path}: {reason}", file=sys.stderr)


@contextlib.contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    """Yield the file to write to: standard output, or a file that is whole or absent.

    Names of files that are no UTF-8 keep their bytes.
    """
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        yield sys.stdout
        sys.stdout.flush()
        return
    from kmpl.runtime.files import whole_file

    with whole_file(out) as draft, draft.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file


@contextlib.contextmanager
def _progress(files: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of finished files: with many files, it moves a bar on the terminal."""
    if files < _BAR_FROM or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("predict", total=files)
        yield lambda n_files: bar.update(task, completed=n_files)
