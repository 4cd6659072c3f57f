"""``kmpl export``: a model as a file."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kmpl.commands.flags import MLRUNS, Flag, Folder
from kmpl.errors import UserError
from kmpl.jobs.open_model import CHAMPION, check_there, is_address, open_trained
from kmpl.runtime.output_paths import check_apart, check_target
from kmpl.runtime.typed_command import next_command

if TYPE_CHECKING:
    from kmpl.models.model_file import TrainedModel


def export(
    *,
    model: str = CHAMPION,
    onnx: Path | None = None,
    safetensors: Path | None = None,
    overwrite: Flag = False,
    mlruns: Folder = MLRUNS,
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
    files = [
        word for flag, path in (("--onnx", onnx), ("--safetensors", safetensors)) if path for word in (flag, str(path))
    ]
    check_there(model, mlruns, lambda run: next_command("export", *files, "--model", run, mlruns=mlruns))
    from kmpl.models.onnx_file import write_onnx

    trained = open_trained(model, mlruns)
    if onnx is not None:
        difference = write_onnx(trained, onnx)
        print(f"{onnx}: {onnx.stat().st_size / 1024:,.0f} KiB; largest difference from PyTorch {difference:.1e}")
    if safetensors is not None:
        difference = _copy_state(model, mlruns, trained, safetensors)
        size = safetensors.stat().st_size / 1024
        print(f"{safetensors}: {size:,.0f} KiB; largest difference from {model} {difference:.1e}")


def _copy_state(model: str, mlruns: Path, trained: "TrainedModel", target: Path) -> float:
    """Write the weights of a model that is open already; return by how much its probabilities differ from that."""
    from kmpl.models.classifier import largest_difference
    from kmpl.models.model_file import read_model
    from kmpl.models.onnx_file import TOLERANCE
    from kmpl.runtime.files import whole_file

    with tempfile.TemporaryDirectory() as folder, whole_file(target) as draft:
        source = Path(model)
        if is_address(model):
            from kmpl.tracking.load_model import fetch_state

            source = fetch_state(mlruns, model, Path(folder))
        difference = largest_difference(trained.classifier, read_model(source).classifier)
        if not difference <= TOLERANCE:
            raise UserError(f"{target} was not written: its probabilities differ from {model}'s by {difference:.1e}")
        shutil.copyfile(source, draft)
    return difference
