"""Networks of one structure are traced once, and each keeps its own probabilities."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_networks import network_for
from torch import Tensor, nn

from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.tracking import export_once

IMAGES = torch.zeros(2, 28, 28, dtype=torch.uint8)
NOISE = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
ANY_NUMBER = ({0: torch.export.Dim.AUTO},)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    """What PyTorch has traced, while models are exported as MLflow does it."""
    modules: list[nn.Module] = []
    trace = torch.export.export

    def noted(module: nn.Module, *inputs: Any, **how: Any) -> Any:
        modules.append(module)
        return trace(module, *inputs, **how)

    monkeypatch.setattr(torch.export, "export", noted)
    monkeypatch.setattr(export_once, "_KEPT", {})
    with export_once.export_once():
        yield modules
    assert torch.export.export is noted


def exported(module: nn.Module) -> Tensor:
    """Return what the exported program gives for other images than the example."""
    answer: Tensor = torch.export.export(module, (IMAGES,), dynamic_shapes=ANY_NUMBER).module()(NOISE)
    return answer


def classifier(change: float = 0.0, size: int = 28) -> RawImageClassifier:
    network = network_for(1)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.add_(change)
    return RawImageClassifier(network, size)


@torch.inference_mode()
def test_other_weights_take_the_graph_that_is_there_and_give_their_own_probabilities(traced: list[nn.Module]) -> None:
    models = [classifier(change) for change in (0.0, 0.01, 0.02)]
    answers = [exported(model) for model in models]
    assert traced == models[:1]
    for model, answer in zip(models, answers, strict=True):
        assert torch.equal(answer, model(NOISE))
    assert not torch.equal(answers[0], answers[1])


@torch.inference_mode()
def test_another_structure_is_traced(traced: list[nn.Module]) -> None:
    other = classifier(size=20)
    exported(classifier())
    assert torch.equal(exported(other), other(NOISE))
    assert len(traced) == 2


class Hidden(nn.Module):
    """Depends on what is no attribute of it."""

    factor = 1.0

    def forward(self, images: Tensor) -> Tensor:
        return images.float() * self.factor


def test_what_the_structure_does_not_say_is_noticed(traced: list[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    exported(Hidden())
    monkeypatch.setattr(Hidden, "factor", 2.0)
    assert torch.equal(exported(Hidden()), NOISE.float() * 2)
    assert len(traced) == 2
