"""Trained networks into MLflow: state dict and a model that takes raw images."""

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

from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.models.model_file import describe_network, write_model
from kmpl.models.network import Network
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.tracking import served_model
from kmpl.tracking.local_models import STATE

SERVED = "kmpl_served"
"""The name under which served.py travels with a model: no other package has it."""


def log_model(client: MlflowClient, run: str, network: Network, pool: Pool, what: str) -> None:
    """Log a network below its run, as state dict and as a model of raw images.

    Raises:
        UserError: the disk is full.
    """
    channels, height, width = pool.raw_shape
    model = RawImageClassifier(network, size=pool.images.shape[-1])
    shape = (height, width) if channels == 1 else (height, width, channels)
    with mlflow.start_run(run_id=run), tempfile.TemporaryDirectory() as folder, _writing(f"the model of {what}"):
        # The state comes first: it fails cleanly on a full disk, where PyTorch's writer of pt2 aborts the process.
        path = Path(folder) / STATE
        about = describe_network(
            network, classes=pool.classes, raw_shape=pool.raw_shape, size=model.size, ranges=pool.ranges
        )
        write_model(network, about, path)
        _check_room(Path(folder), 4 * path.stat().st_size)
        client.log_artifact(run, str(path))
        Model.log(
            artifact_path=None,
            name="model",
            flavor=SimpleNamespace(save_model=_save),
            flavor_name="pytorch",
            metadata={"classes": list(pool.classes), "image": list(shape), "ranges": pool.ranges},
            run_id=run,
            pytorch_model=model,
            n_classes=len(pool.classes),
            validate_serving_input=False,  # it would load the copy of our own file
        )


def _save(
    path: str,
    mlflow_model: Model,
    pytorch_model: RawImageClassifier,
    n_classes: int,
    validate_serving_input: bool,  # noqa: ARG001  (of MLflow's form)
) -> None:
    """Save a model as PyTorch's flavour does, with a look at each request (served.py) before the network sees it."""
    from mlflow.pyfunc import FLAVOR_NAME, MAIN  # slow to import, and it warns about itself

    image, outputs = mlflow_model.metadata["image"], Schema([TensorSpec(np.dtype("float32"), (-1, n_classes))])
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / f"{SERVED}.py"
        shutil.copyfile(served_model.__file__, code)
        mlflow.pytorch.save_model(
            pytorch_model,
            path,
            mlflow_model=mlflow_model,
            code_paths=[str(code)],
            signature=ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, *image))]), outputs),
            input_example=np.zeros((2, *image), dtype=np.uint8),
            serialization_format="pt2",
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in ("torch", "numpy")],
        )
    mlflow_model.flavors[FLAVOR_NAME][MAIN] = SERVED
    # Who exports needs to hear what goes in; MLflow's server must not, or it makes numbers fit that are wrong.
    mlflow_model.signature = ModelSignature(outputs=outputs)
    mlflow_model.save(str(Path(path) / MLMODEL_FILE_NAME))


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"cannot write below {folder}: {free:,} bytes are free, {needed:,} are needed")


@contextlib.contextmanager
def _writing(what: str) -> Iterator[None]:
    """Turn a refused write into one line; PyTorch's writer reports a full disk as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"cannot write {what}: {reason}; is the disk full?") from error
