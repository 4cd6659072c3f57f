"""What a logged model is exported from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.pytorch
import numpy as np
import pytest
import torch
from tiny_networks import network_for

from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.tracking import log_model

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own import


class _SeenError(Exception):
    pass


@pytest.mark.parametrize("image", [(28, 28), (20, 30, 3)])
def test_the_example_has_two_images_however_few_a_folder_has(
    image: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: Any, input_example: np.ndarray, **__: Any) -> None:
        assert input_example.shape == (2, *image)
        raise _SeenError

    monkeypatch.setattr(mlflow.pytorch, "save_model", save)
    model: Any = SimpleNamespace(metadata={"image": list(image)})
    network = RawImageClassifier(network_for(3 if len(image) == 3 else 1), 28)
    with pytest.raises(_SeenError):
        log_model._save(str(tmp_path), model, network, 3, False)


def test_torch_fixes_the_batch_of_an_example_of_one_without_an_error() -> None:
    """MLflow marks the batch with ``Dim.AUTO``. If this fails, PyTorch has mended it, and examples may be of one."""
    free = {0: torch.export.Dim.AUTO}
    layer = torch.nn.Linear(4, 2).eval()
    one, two = (torch.export.export(layer, (torch.zeros(n, 4),), dynamic_shapes=(free,)).module() for n in (1, 2))
    assert two(torch.zeros(5, 4)).shape == (5, 2)
    with pytest.raises(AssertionError, match="Guard failed"):
        one(torch.zeros(5, 4))
