"""The test: every view, every class, counted right."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.test_set import open_test_set
from kmpl.method.evaluation import evaluate
from kmpl.method.step_inputs import EvaluateInput
from kmpl.models.network import Network


class InkNetwork(Network):
    """Guesses by the share of ink alone: bad, but with an opinion on every view."""

    dimension = 1

    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Identity()
        self.head = nn.Linear(1, 10)
        torch.manual_seed(0)

    def maps(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3), keepdim=True).flatten(1) * 50


@pytest.mark.parametrize("protocol", ["notebook", "literature"])
def test_the_numbers_are_those_of_the_predictions(tiny: ExperimentConfig, protocol: str) -> None:
    config, network = merge(tiny, {"protocol": protocol}), InkNetwork()
    result = evaluate(EvaluateInput(config=config, network=network))
    test = open_test_set(config)
    with torch.inference_mode():
        guesses = {v: network(x.float() / 255).argmax(dim=1).numpy() for v, x in test.views.items()}
    assert result.views == {v: float(np.mean(g == test.labels)) for v, g in guesses.items()}
    assert result.accuracy == pytest.approx(np.mean(list(result.views.values())))
    assert result.confusion.sum() == 10_000 * len(guesses)
    assert np.diag(result.confusion).sum() / result.confusion.sum() == pytest.approx(result.accuracy)
    assert 0 < result.calibration_error < 1
