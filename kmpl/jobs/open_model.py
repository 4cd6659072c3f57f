"""Open a model by its address: a file of kmpl's, an ONNX file, a run, or MLflow's registry."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kmpl.errors import UserError
from kmpl.runtime.addresses import addresses_of_environment

if TYPE_CHECKING:
    from kmpl.models.classifier import Classifier
    from kmpl.models.model_file import TrainedModel


CHAMPION = "models:/kmpl@champion"
_FEW = 100
"""Validation images; an accuracy on fewer may be off by several points."""


def check_there(model: str, mlruns: Path, command: Callable[[str], str]) -> None:
    """Refuse at once what is plainly not there: asking MLflow takes seconds.

    Args:
        model: what is to be opened.
        mlruns: folder of the tracked runs.
        command: gives the whole command that does the same with the model of another run.

    Raises:
        UserError: there are no runs at all, or no champion yet.
    """
    if not is_address(model):
        return
    from kmpl.tracking import local_models

    local_models.check_there(mlruns)
    if model == CHAMPION and local_models.lacks(mlruns, model):
        run = local_models.last_labelling(mlruns)
        labelled = f"; the last `kmpl label` left a model, too: {command(run)}" if run else ""
        raise UserError(
            f"there is no {CHAMPION} among the runs in {mlruns} yet; `kmpl sweep` trains one on a data set{labelled}"
        )


def open_classifier(model: str, mlruns: Path) -> "Classifier":
    """Return the classifier at one of MLflow's addresses, of a run, or in a file.

    The weights beside a model in MLflow give its probabilities to the bit, without MLflow and PyTorch's exporter: to
    import these takes longer than to predict thousands of images.

    Raises:
        UserError: there is no model, or it cannot be used.
    """
    if not is_address(model) and Path(model).suffix.lower() == ".onnx":
        from kmpl.models.onnx_file import read_onnx

        return read_onnx(Path(model))
    return (_open_weights(model, mlruns) or open_trained(model, mlruns)).classifier


def _open_weights(model: str, mlruns: Path) -> "TrainedModel | None":
    """Return the model whose weights lie on this machine and describe themselves; None where MLflow must be asked."""
    if not is_address(model):
        return None
    from kmpl.tracking.local_models import find_weights

    weights = find_weights(mlruns, model)
    if weights is None:
        return None
    from kmpl.models.model_file import read_model

    try:
        return read_model(weights)
    except UserError:  # damaged, or of a version that did not describe them
        return None


def chosen_on_few(model: str, mlruns: Path) -> str:
    """Return a sentence if a registered model was chosen on few images; empty if not, or where nobody knows."""
    if not model.startswith("models:/"):
        return ""
    from kmpl.tracking import local_models

    judged = local_models.judged(mlruns, model)
    if judged is None and addresses_of_environment().tracking:
        from kmpl.tracking.load_model import judged_on_server

        judged = judged_on_server(mlruns, model)
    if judged is None or judged.images >= _FEW:
        return ""
    return (
        f"{model} was chosen on {judged.images} validation images only, {judged.accuracy:.1%} of them right: on so few "
        "that says little"
    )


def is_address(model: str) -> bool:
    """Say whether a text is one of MLflow's addresses or a run's id, not a file."""
    return model.startswith(("models:/", "runs:/")) or re.fullmatch("[0-9a-f]{32}", model) is not None


def open_trained(model: str, mlruns: Path) -> "TrainedModel":
    """Return the model, with its network, at one of MLflow's addresses, of a run, or in a file of kmpl's.

    Raises:
        UserError: there is no model, or it cannot be used.
    """
    if is_address(model):
        from kmpl.tracking.load_model import open_model

        return open_model(mlruns, model)
    path = Path(model)
    if path.suffix.lower() == ".onnx" and path.exists():
        raise UserError(f"--model {model}: is ONNX already; give the model that it was exported from")
    if path.suffix.lower() != ".safetensors" or not path.exists():
        reason = "is neither .safetensors nor .onnx" if path.exists() else "there is no such file"
        raise UserError(f"--model {model}: {reason}; give {CHAMPION}, runs:/…/model, a run's id or a file")
    from kmpl.models.model_file import read_model

    return read_model(path)
