"""What a trained model does for people: say the class of image files, and become a file itself.

As little as possible is imported before a model has answered: MLflow for its own addresses alone, PyTorch not for ONNX.
"""

import contextlib
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cyclopts import Parameter

from kmpl.errors import IncompleteError, UserError
from kmpl.targets import check_apart, check_target

if TYPE_CHECKING:
    from kmpl.classifiers import Classifier
    from kmpl.model_files import TrainedModel

CHAMPION = "models:/kmpl@champion"
Folder = Annotated[Path, Parameter(name="--mlruns")]
Flag = Annotated[bool, Parameter(negative="")]
_BAR_FROM = 500  # files; fewer are read before a bar is seen


def predict(
    *paths: Path,
    model: str = CHAMPION,
    format: Literal["csv", "json", "request"] = "csv",
    out: Path | None = None,
    overwrite: Flag = False,
    mlruns: Folder = Path("mlruns"),
) -> None:
    """Say the class of image files, with a probability for each class. Exit status 1: some could not be read.

    Args:
        paths: Image files, and folders that are searched with all below them.
        model: models:/… or runs:/… as MLflow says it, the id of an arm's run, or a file (.safetensors, .onnx).
        format: csv, json (an object a line), or request: no predictions but the pictures themselves, as a served
            model takes them.
        out: Write to this file instead of standard output.
        overwrite: Replace the file if it exists.
        mlruns: Folder of the tracked runs.
    """
    from kmpl.datasets.formats import by_content_sentence
    from kmpl.datasets.ranges import unknown_sentence
    from kmpl.prediction import find_pictures, texts

    if not paths:
        raise UserError("name the image files, or folders of them, that are to be predicted")
    if out is not None:
        check_target(out, "--out", overwrite)
    by_content: list[Path] = []
    files, left_out = find_pictures(paths, by_content.append)
    for said in by_content_sentence([str(path) for path in by_content]):
        print(f"kmpl: {said}", file=sys.stderr)
    for path, reason in left_out.items():
        _name_left_out(path, reason)
    if not files:
        raise UserError("there is no image to predict")
    classifier, predicted = open_classifier(model, mlruns), 0
    with _output(out) as file, _progress(len(files)) as advance:

        def unread(path: Path, reason: str) -> None:
            left_out[path] = reason
            _name_left_out(path, reason)

        for done, images, text in texts(classifier, files, format, unread):
            file.write(text)
            predicted += images
            advance(done)
        for kind in sorted(classifier.unknown):
            print(f"kmpl: {unknown_sentence(kind)}", file=sys.stderr)
        if not predicted:
            raise UserError("none of the files could be read; nothing is predicted")
    if left_out:
        raise IncompleteError(f"{predicted:,} predicted, {len(left_out):,} left out")


def export(
    *,
    model: str = CHAMPION,
    onnx: Path | None = None,
    safetensors: Path | None = None,
    overwrite: Flag = False,
    mlruns: Folder = Path("mlruns"),
) -> None:
    """Write a model as a file that needs no store of runs; what is written is read again and compared first.

    Args:
        model: models:/… or runs:/… as MLflow says it, the id of an arm's run, or a .safetensors file of kmpl's.
        onnx: Write ONNX here: raw images in, probabilities out, for any runtime (extra onnx).
        safetensors: Write the weights here, with all that kmpl predict has to know of them.
        overwrite: Replace files that exist.
        mlruns: Folder of the tracked runs.
    """
    if onnx is None and safetensors is None:
        raise UserError("say what to write: --onnx FILE, --safetensors FILE or both")
    check_apart({"--model": Path(model), "--onnx": onnx, "--safetensors": safetensors})
    for path, flag in ((onnx, "--onnx"), (safetensors, "--safetensors")):
        if path is not None:
            check_target(path, flag, overwrite)
    from kmpl.onnx_files import write_onnx

    trained = _open_trained(model, mlruns)
    if onnx is not None:
        difference = write_onnx(trained, onnx)
        print(f"{onnx}: {onnx.stat().st_size / 1024:,.0f} KiB; largest difference from PyTorch {difference:.1e}")
    if safetensors is not None:
        difference = _copy_state(model, mlruns, trained, safetensors)
        size = safetensors.stat().st_size / 1024
        print(f"{safetensors}: {size:,.0f} KiB; largest difference from {model} {difference:.1e}")


def open_classifier(model: str, mlruns: Path) -> "Classifier":
    """Return the model at an address of MLflow's, of a run, or in a file.

    Raises:
        UserError: there is none, or none that can be used.
    """
    if not _is_address(model) and Path(model).suffix.lower() == ".onnx":
        from kmpl.onnx_files import read_onnx

        return read_onnx(Path(model))
    return _open_trained(model, mlruns).classifier


def _is_address(model: str) -> bool:
    """Say whether a text is an address of MLflow's or a run's id, and no file."""
    return model.startswith(("models:/", "runs:/")) or re.fullmatch("[0-9a-f]{32}", model) is not None


def _open_trained(model: str, mlruns: Path) -> "TrainedModel":
    if _is_address(model):
        from kmpl.tracking.loading import open_model

        return open_model(mlruns, model)
    path = Path(model)
    if path.suffix.lower() == ".onnx" and path.exists():
        raise UserError(f"--model {model}: is ONNX already; name what it was exported from")
    if path.suffix.lower() != ".safetensors" or not path.exists():
        what = "is neither .safetensors nor .onnx" if path.exists() else "there is no such file"
        raise UserError(f"--model {model}: {what}; give {CHAMPION}, runs:/…/model, a run's id or a file")
    from kmpl.model_files import read_model

    return read_model(path)


def _copy_state(model: str, mlruns: Path, trained: "TrainedModel", target: Path) -> float:
    """Write the weights of a model that is open already; return by how much its probabilities differ from that."""
    from kmpl.classifiers import largest_difference
    from kmpl.model_files import read_model
    from kmpl.onnx_files import TOLERANCE
    from kmpl.store import whole_file

    with tempfile.TemporaryDirectory() as folder, whole_file(target) as draft:
        source = Path(model)
        if _is_address(model):
            from kmpl.tracking.loading import fetch_state

            source = fetch_state(mlruns, model, Path(folder))
        difference = largest_difference(trained.classifier, read_model(source).classifier)
        if not difference <= TOLERANCE:
            raise UserError(f"{target} was not written: its probabilities differ from {model}'s by {difference:.1e}")
        shutil.copyfile(source, draft)
    return difference


def _name_left_out(path: Path, reason: str) -> None:
    print(f"left out {path}: {reason}", file=sys.stderr)


@contextlib.contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    """Give what is written to: standard output, or a file that is whole or absent.

    Names of files that are no UTF-8 keep their bytes.
    """
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        yield sys.stdout
        sys.stdout.flush()
        return
    from kmpl.store import whole_file

    with whole_file(out) as draft, draft.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file


@contextlib.contextmanager
def _progress(files: int) -> Iterator[Callable[[int], None]]:
    """Give what is told how many files are done: a bar on the terminal, if there are many."""
    if files < _BAR_FROM or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("predict", total=files)
        yield lambda done: bar.update(task, completed=done)
