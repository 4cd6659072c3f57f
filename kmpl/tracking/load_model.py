"""Load models by MLflow's addresses: the model of a run, or a registered model."""

from pathlib import Path
from typing import Any

import mlflow
import mlflow.pytorch
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from kmpl.config.backbones import why_no_model
from kmpl.errors import UserError
from kmpl.images.conversion import Conversion
from kmpl.models.model_file import TrainedModel, read_description
from kmpl.tracking.client import open_existing, search
from kmpl.tracking.local_models import STATE, Judged, judged_by


def open_model(mlruns: Path, address: str) -> TrainedModel:
    """Return the model at ``models:/…``, ``runs:/…/model``, or of the run with this id.

    The file is the one that MLflow serves (pt2; nothing is unpickled).

    Raises:
        UserError: there is no such model, it is not kmpl's, it is damaged, or the store cannot be opened.
    """
    client = open_existing(mlruns)
    uri, info = _info(client, address)
    try:
        metadata = info.metadata or {}
        classes = tuple(map(str, metadata["classes"]))
        height, width, *channels = metadata["image"] if "image" in metadata else _image_shape(info)
        conversion = Conversion.from_record(metadata)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{address} is no model of raw images that kmpl logged") from error
    try:
        module = mlflow.pytorch.load_model(uri)
    except Exception as error:  # a damaged archive may raise anything
        raise UserError(f"{address} cannot be loaded: {_first_line(error)}") from error
    raw_shape = (channels[0] if channels else 1, height, width)
    return TrainedModel(module=module, classes=classes, raw_shape=raw_shape, conversion=conversion)


def _image_shape(info: ModelInfo) -> tuple[int, ...]:
    """Return the shape of one image from the model's input signature, where early versions wrote it."""
    shape: tuple[int, ...] = info.signature.inputs.inputs[0].shape[1:]
    return shape


def fetch_state(mlruns: Path, address: str, folder: Path) -> Path:
    """Return the file of weights of a model, with its description; a copy in ``folder`` if the store is remote.

    Raises:
        UserError: there is no such model, its run is gone, or the file of weights has no description.
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


def judged_on_server(mlruns: Path, address: str) -> Judged | None:
    """Return on what a registered model was chosen; None where nobody chose it."""
    client = open_existing(mlruns)
    name, _, alias = address.removeprefix("models:/").partition("@")
    try:
        if alias:
            return judged_by(client.get_model_version_by_alias(name, alias).tags)
        return judged_by(client.get_model_version(*name.split("/", 1)).tags)
    except (MlflowException, TypeError):  # a model that is not registered
        return None


def _info(client: MlflowClient, address: str) -> tuple[str, ModelInfo]:
    """Return MLflow's address of a model, and its metadata."""
    try:
        uri = address if ":/" in address else _address_of_run(client, address)
        return uri, mlflow.models.get_model_info(uri)
    except (MlflowException, OSError) as error:
        hint = "`kmpl sweep` trains models and registers the best as models:/kmpl@champion"
        finished = [run for run in search(client, kind="labelling") if run.info.status == "FINISHED"]
        labelled = [run.info.run_id for run in finished if _models(run)]
        hint += f"; the last `kmpl label` left a model, too: --model {labelled[0]}" if labelled else ""
        raise UserError(f"there is no {address} among the runs at {client.tracking_uri}; {hint}") from error


def _address_of_run(client: MlflowClient, run_id: str) -> str:
    """Return the address of a run's model.

    Raises:
        UserError: the run has no model; the text names the runs below it that have one.
    """
    run = client.get_run(run_id)
    if _models(run):
        return f"runs:/{run_id}/model"
    if why := why_no_model(run.data.params.get("backbone", "") or run.data.tags.get("backbone", "")):
        raise UserError(f"run {run_id} has no model: {why}")
    children = [run for run in search(client, **{MLFLOW_PARENT_RUN_ID: run_id}) if _models(run)]
    names = ", ".join(f"{run.info.run_id} ({run.data.tags.get('arm', run.info.run_name)})" for run in children)
    hint = f"those below it have: {names}" if children else "name an arm's run"
    raise UserError(f"run {run_id} has no model; {hint}")


def _models(run: Run) -> list[Any]:
    return list(run.outputs.model_outputs) if run.outputs else []


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
