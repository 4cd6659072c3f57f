"""What travels with a logged model: a look at each request, before the network sees it.

MLflow copies this file beside the model and loads it from there: nothing is unpickled, and nothing of kmpl is needed.
The model says nothing to MLflow of the kind of numbers that it takes, because MLflow would make them fit: of 3.7 a 3.
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


def _load_pyfunc(path: str, model_config: Any = None) -> "RawImages":  # noqa: ARG001  (MLflow's form)
    """Return the model in a folder of MLflow's; ``path`` is the part of it that holds the network."""
    folder = Path(path).parent
    about = Model.load(str(folder)).metadata
    return RawImages(mlflow.pytorch.load_model(str(folder)), tuple(about["image"]))


class RawImages:
    """A network that is given nothing but raw images."""

    def __init__(self, network: torch.nn.Module, shape: tuple[int, ...]) -> None:
        self.network, self.shape = network, shape

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> np.ndarray:  # noqa: ARG002  (MLflow's form)
        """Return probabilities (B, C) of images (B, height, width) or (B, height, width, 3).

        Raises:
            MlflowException: what was given is no raw image; a server answers with status 400.
        """
        with torch.inference_mode():
            found: np.ndarray = self.network(torch.from_numpy(raw(data, self.shape))).numpy()
        return found


def raw(data: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return images as uint8, of any kind of number that says the same.

    Args:
        data: (B, *shape).
        shape: of one image.

    Raises:
        MlflowException: another shape, no numbers, not whole, or out of 0…255; it says where and what would be right.
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
        number, *place = wrong[0].tolist()
        raise _refused(f"image {number} has {images[tuple(wrong[0])]:g} at {place}")
    if images.dtype.kind == "f" and images.max() == 1:
        raise _refused("all pixels are 0.0 or 1.0, which says that they were scaled")
    return images.astype(np.uint8)


def _refused(what: str) -> MlflowException:
    return MlflowException(f"{what}; {_RIGHT}", error_code=INVALID_PARAMETER_VALUE)
