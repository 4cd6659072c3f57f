"""The steps as a record: what is put around one is put around all, and nobody opens the test unless he is handed in."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.method.step_inputs import EvaluateInput
from kmpl.method.step_interface import STEP_NAMES, Listeners, Steps, no_test_set, wrap_each
from kmpl.models.cnn import CNN

SHUT = no_test_set("nothing is tested here")


def test_every_step_is_wrapped_and_no_listener() -> None:
    plain = Steps(evaluate=SHUT)

    def around(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda inputs: (name, step, inputs)

    steps = wrap_each(plain, around)
    listeners = {field.name for field in fields(Listeners)}
    assert set(STEP_NAMES) | listeners == {field.name for field in fields(Steps)}
    for name in STEP_NAMES:
        assert getattr(steps, name)("inputs") == (name, getattr(plain, name), "inputs")
    for name in listeners:
        assert getattr(steps, name) is getattr(plain, name)


def test_the_stand_in_for_the_test_set_says_why() -> None:
    with pytest.raises(AssertionError, match="nothing is tested here"):
        SHUT(EvaluateInput(config=ExperimentConfig(), network=CNN(1, 10)))
