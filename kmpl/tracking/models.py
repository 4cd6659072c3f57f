"""Trained networks into MLflow: state dict and a model that takes raw images."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import mlflow
import mlflow.pytorch
import numpy as np
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from kmpl.errors import UserError
from kmpl.model_files import describe_network, write_model
from kmpl.networks import Network
from kmpl.results import Pool
from kmpl.serving import RawImageClassifier

STATE = "network.safetensors"
"""An arm's network among the artifacts of its run, in a file that describes itself."""


def log_model(client: MlflowClient, run: str, network: Network, pool: Pool, what: str) -> None:
    """Log a network below its run, as state dict and as a model of raw images.

    Raises:
        UserError: the disk is full.
    """
    channels, height, width = pool.raw_shape
    model = RawImageClassifier(network, size=pool.images.shape[-1])
    shape = (height, width) if channels == 1 else (height, width, channels)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, len(pool.classes)))]),
    )
    pins = [f"{name}=={metadata.version(name)}" for name in ("torch", "numpy")]
    with mlflow.start_run(run_id=run), tempfile.TemporaryDirectory() as folder, _writing(f"the model of {what}"):
        # The state comes first: it fails cleanly on a full disk, where PyTorch's writer of pt2 aborts the process.
        path = Path(folder) / STATE
        write_model(network, describe_network(network, pool), path)
        _check_room(Path(folder), 4 * path.stat().st_size)
        client.log_artifact(run, str(path))
        mlflow.pytorch.log_model(
            model,
            name="model",
            signature=signature,
            input_example=np.zeros((2, *shape), dtype=np.uint8),
            serialization_format="pt2",
            pip_requirements=pins,
            metadata={"classes": list(pool.classes), "ranges": pool.ranges},
        )


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
