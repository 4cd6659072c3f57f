"""Models by MLflow's addresses: what a run logged, or the registry holds, ready to predict."""

from pathlib import Path
from typing import Any

import mlflow
import mlflow.pytorch
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from kmpl.errors import UserError
from kmpl.models.model_file import TrainedModel, read_description
from kmpl.tracking.client import open_existing, search
from kmpl.tracking.log_model import STATE


def open_model(mlruns: Path, address: str) -> TrainedModel:
    """Return the model at ``models:/…``, ``runs:/…/model``, or of the run with this id.

    What is loaded is the same file that MLflow serves (pt2; nothing is unpickled).

    Raises:
        UserError: no such model, not one of kmpl's, or damaged; or the store cannot be opened.
    """
    client = open_existing(mlruns)
    uri, info = _info(client, address)
    try:
        about = info.metadata or {}
        classes = tuple(map(str, about["classes"]))
        height, width, *colour = about["image"] if "image" in about else _of_signature(info)
        spans = about.get("ranges", {})  # versions before wrote none
        ranges = {str(kind): (float(low), float(high)) for kind, (low, high) in spans.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{address} is no model of raw images that kmpl logged") from error
    try:
        module = mlflow.pytorch.load_model(uri)
    except Exception as error:  # a damaged archive may raise anything
        raise UserError(f"{address} cannot be loaded: {_first_line(error)}") from error
    return TrainedModel(
        module=module, classes=classes, raw_shape=(colour[0] if colour else 1, height, width), ranges=ranges
    )


def _of_signature(info: ModelInfo) -> tuple[int, ...]:
    """Return the shape of one image: models of earlier versions say it in MLflow's words for what goes in."""
    shape: tuple[int, ...] = info.signature.inputs.inputs[0].shape[1:]
    return shape


def fetch_state(mlruns: Path, address: str, folder: Path) -> Path:
    """Return the file of weights beside a model, which describes itself; a copy in ``folder`` if it lies elsewhere.

    Raises:
        UserError: no such model, its run is gone, or its weights do not describe themselves.
    """
    client = open_existing(mlruns)
    _, info = _info(client, address)
    try:
        path = Path(client.download_artifacts(info.run_id, STATE, str(folder)))
    except (MlflowException, OSError) as error:
        raise UserError(f"{address}: its run {info.run_id} holds no {STATE}: {_first_line(error)}") from error
    try:
        read_description(path)
    except UserError as error:
        raise UserError(f"{address}: the {STATE} of its run does not describe itself; --onnx can be had") from error
    return path


def _info(client: MlflowClient, address: str) -> tuple[str, ModelInfo]:
    """Return MLflow's own address of a model, and what is known of it."""
    try:
        uri = address if ":/" in address else _of_run(client, address)
        return uri, mlflow.models.get_model_info(uri)
    except (MlflowException, OSError) as error:
        hint = "`kmpl sweep` trains models and registers the best as models:/kmpl@champion"
        raise UserError(f"there is no {address} among the runs at {client.tracking_uri}; {hint}") from error


def _of_run(client: MlflowClient, run: str) -> str:
    """Return the address of a run's model; one that has none but whose arms have is told which."""
    if _models(client.get_run(run)):
        return f"runs:/{run}/model"
    below = [r for r in search(client, **{MLFLOW_PARENT_RUN_ID: run}) if _models(r)]
    named = ", ".join(f"{r.info.run_id} ({r.data.tags.get('arm', r.info.run_name)})" for r in below)
    raise UserError(f"run {run} has no model; " + (f"those below it have: {named}" if below else "name an arm's run"))


def _models(run: Run) -> list[Any]:
    return list(run.outputs.model_outputs) if run.outputs else []


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
