"""Log trained networks in MLflow: a state dict, and a model that takes raw images."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import mlflow
import mlflow.pytorch
import numpy as np
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import Schema, TensorSpec
from mlflow.utils import requirements_utils

from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.models.model_file import describe_network, write_model
from kmpl.models.network import Network
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.tracking import served_model
from kmpl.tracking.export_once import export_once
from kmpl.tracking.local_models import STATE

_NEEDED = ("torch", "numpy")
"""Packages that a logged model needs, in the versions that are installed here."""
SERVED = "kmpl_served"
"""Module name of served_model.py beside a logged model; no other package has this name."""


def log_model(client: MlflowClient, run_id: str, *, network: Network, pool: Pool, title: str) -> None:
    """Log a network below its run, as state dict and as a model of raw images.

    Args:
        client: of the store.
        run_id: of the run.
        network: the network.
        pool: images that it was trained on; their shape, classes and conversion are part of the model.
        title: name of the run in error texts.

    Raises:
        UserError: the disk is full.
    """
    channels, height, width = pool.raw_shape
    model = RawImageClassifier(network, size=pool.seen_side)
    shape = (height, width) if channels == 1 else (height, width, channels)
    with (
        mlflow.start_run(run_id=run_id),
        tempfile.TemporaryDirectory() as folder,
        _write_errors(f"the model of {title}"),
    ):
        # The state comes first: it fails cleanly on a full disk, where PyTorch's writer of pt2 aborts the process.
        path = Path(folder) / STATE
        description = describe_network(
            network, classes=pool.classes, raw_shape=pool.raw_shape, size=model.size, conversion=pool.conversion
        )
        write_model(network, description, path)
        _check_free_space(Path(folder), 4 * path.stat().st_size)
        client.log_artifact(run_id, str(path))
        Model.log(
            artifact_path=None,
            name="model",
            flavor=SimpleNamespace(save_model=_save),
            flavor_name="pytorch",
            metadata={"classes": list(pool.classes), "image": list(shape), **pool.conversion.record()},
            run_id=run_id,
            pytorch_model=model,
            n_classes=len(pool.classes),
            validate_serving_input=False,  # validation would load the copy of served_model.py
        )


def _save(
    path: str,
    mlflow_model: Model,
    pytorch_model: RawImageClassifier,
    n_classes: int,
    validate_serving_input: bool,  # noqa: ARG001  (MLflow's signature)
) -> None:
    """Save a model as MLflow's PyTorch flavour does, with served_model.py, which checks each request."""
    from mlflow.pyfunc import FLAVOR_NAME, MAIN  # slow to import, and it warns about itself

    image = mlflow_model.metadata["image"]
    outputs = Schema([TensorSpec(np.dtype("float32"), (-1, n_classes))])
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / f"{SERVED}.py"
        shutil.copyfile(served_model.__file__, code)
        with _three_packages_known(), export_once():
            mlflow.pytorch.save_model(
                pytorch_model,
                path,
                mlflow_model=mlflow_model,
                code_paths=[str(code)],
                signature=ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, *image))]), outputs),
                input_example=np.zeros((2, *image), dtype=np.uint8),
                serialization_format="pt2",
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in _NEEDED],
            )
    mlflow_model.flavors[FLAVOR_NAME][MAIN] = SERVED
    # The export needs the input's signature. MLflow's server must not have it, or it casts wrong numbers to fit.
    mlflow_model.signature = ModelSignature(outputs=outputs)
    mlflow_model.save(str(Path(path) / MLMODEL_FILE_NAME))


@contextlib.contextmanager
def _three_packages_known() -> Iterator[None]:
    """Spare MLflow more than a second of reading the file lists of all that is installed, to compare three versions.

    It compares what a model needs with what is there, and finds out (3.17.2) which package each importable module is
    of, if that is not known yet. Afterwards it is as little known as before.
    """
    known = requirements_utils._MODULES_TO_PACKAGES
    if known is None:
        requirements_utils._MODULES_TO_PACKAGES = {name: [name] for name in ("mlflow", *_NEEDED)}
    try:
        yield
    finally:
        requirements_utils._MODULES_TO_PACKAGES = known


def _check_free_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"cannot write below {folder}: {free:,} bytes are free, {needed:,} are needed")


@contextlib.contextmanager
def _write_errors(target: str) -> Iterator[None]:
    """Turn a failed write into a ``UserError`` of one line; PyTorch's writer reports a full disk as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {target}: {reason}; is the disk full?") from error
