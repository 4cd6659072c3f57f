"""Open a model by its address: a file of kmpl's, an ONNX file, a run, or MLflow's registry."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kmpl.errors import UserError

if TYPE_CHECKING:
    from kmpl.models.classifier import Classifier
    from kmpl.models.model_file import TrainedModel


CHAMPION = "models:/kmpl@champion"


def open_classifier(model: str, mlruns: Path) -> "Classifier":
    """Return the classifier at one of MLflow's addresses, of a run, or in a file.

    Raises:
        UserError: there is no model, or it cannot be used.
    """
    if not is_address(model) and Path(model).suffix.lower() == ".onnx":
        from kmpl.models.onnx_file import read_onnx

        return read_onnx(Path(model))
    return open_trained(model, mlruns).classifier


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
