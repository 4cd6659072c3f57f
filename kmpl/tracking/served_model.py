"""The part of a logged model that checks each request before the network gets it.

MLflow copies this file beside the model and loads it from there: nothing is unpickled, and kmpl need not be installed.
The model has no input signature, because MLflow would cast numbers to fit it: 3.7 to 3.
"""

from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

_RIGHT = 'give {"inputs": images}, each pixel a whole number from 0 to 255, as image files have it, not scaled to 0…1'


def _load_pyfunc(path: str, model_config: Any = None) -> "RawImages":  # noqa: ARG001  (MLflow's signature)
    """Return the model in one of MLflow's folders; ``path`` is the file of the network in it."""
    folder = Path(path).parent
    metadata = Model.load(str(folder)).metadata
    return RawImages(mlflow.pytorch.load_model(str(folder)), tuple(metadata["image"]))


class RawImages:
    """A network that accepts only raw images."""

    def __init__(self, network: torch.nn.Module, shape: tuple[int, ...]) -> None:
        self.network = network
        self.shape = shape

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> np.ndarray:  # noqa: ARG002  (MLflow's signature)
        """Return probabilities (B, C) of images (B, height, width) or (B, height, width, 3).

        Raises:
            MlflowException: the data are no raw images; a server answers with status 400.
        """
        with torch.inference_mode():
            probabilities: np.ndarray = self.network(torch.from_numpy(raw(data, self.shape))).numpy()
        return probabilities


def raw(data: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return images as uint8, from numbers of any type that have the same values.

    Args:
        data: (B, *shape).
        shape: of one image.

    Raises:
        MlflowException: wrong shape, no numbers, not whole, or outside 0…255; the text says where and what is right.
    """
    images = np.asarray(data)
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape or not len(images):
        raise _refused(f"images of shape {shape} are wanted, any number of them; got an array of shape {images.shape}")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind not in "iuf":
        raise _refused(f"numbers are wanted, got {images.dtype}")
    wrong = np.argwhere(~((images >= 0) & (images <= 255) & (images == np.floor(images))))
    if len(wrong):
        number, *pixel = wrong[0].tolist()
        raise _refused(f"image {number} has {images[tuple(wrong[0])]:g} at {pixel}")
    if images.dtype.kind == "f" and images.max() == 1:
        raise _refused("all pixels are 0.0 or 1.0, which says that they were scaled")
    return images.astype(np.uint8)


def _refused(reason: str) -> MlflowException:
    return MlflowException(f"{reason}; {_RIGHT}", error_code=INVALID_PARAMETER_VALUE)
