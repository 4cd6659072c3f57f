"""What a deployment may be given, and how a flow names what it may not."""

import json
from typing import Any

import pytest
from prefect import Flow
from prefect.utilities.schema_tools.validation import validate

from flows.label_images import label_images
from flows.label_studio import label_studio
from flows.semi_supervised import semi_supervised
from kmpl.errors import UserError

NULL = "is null, as which NaN arrives too; leave it out, or give a value"


@pytest.mark.parametrize(
    ("flow", "parameters", "line"),
    [
        (semi_supervised, {"ratios": [None]}, f"ratios.0 {NULL}"),
        (semi_supervised, {"experiment": {"pretrain": {"learning_rate": None}}}, f"learning_rate {NULL}"),
        (semi_supervised, {"trials": None}, f"trials {NULL}"),
        (semi_supervised, {"ratio": [0.1]}, "unknown parameter 'ratio'; did you mean 'ratios'?"),
        (semi_supervised, {"experiment": {"pretrain": {"epoch": 3}}}, "unknown parameter 'experiment.pretrain.epoch'"),
        (semi_supervised, {"ratios": [0.1, 1.5]}, "ratios.1: Input should be less than 1"),
        (label_images, {"folder": "x", "setings": {}}, "unknown parameter 'setings'; did you mean 'settings'?"),
        (label_images, {"folder": "x", "settings": {"guarantee": None}}, f"settings.guarantee {NULL}"),
        (label_studio, {"folder": "x", "url": "u", "project": "p", "tokn": 1}, "unknown parameter 'tokn'"),
    ],
)
def test_each_wrong_parameter_is_named_in_one_line(flow: Flow[Any, Any], parameters: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        flow.validate_parameters(parameters)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(UserError) as refused:
        semi_supervised.validate_parameters({"ratio": 1, "trials": None, "jobs": 0})
    assert str(refused.value).count(";") >= 3
    assert all(name in str(refused.value) for name in ("'ratio'", "trials is null", "jobs: "))


def test_what_is_right_passes_and_a_path_that_is_left_open_may_be_null() -> None:
    given = {"folder": "x", "labels": None, "gallery": None, "trust": None, "settings": {"seed": 3, "guarantee": 0.9}}
    assert label_images.validate_parameters(given)["settings"].seed == 3
    over = json.loads('{"ratios": [0.2, 0.05], "preset": "quick", "experiment": {"pretrain": {"epochs": 12}}}')
    assert semi_supervised.validate_parameters(over)["experiment"].pretrain.epochs == 12


def test_prefects_schema_lets_a_nan_pass_as_null_and_what_it_does_not_know() -> None:
    """If this fails, Prefect has mended it."""
    schema = label_images.parameters.model_dump_for_openapi()
    sent = json.loads(json.dumps({"folder": "x", "settings": {"guarantee": None}, "setings": 1}))
    assert validate(sent, schema) == []
