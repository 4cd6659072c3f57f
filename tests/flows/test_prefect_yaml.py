"""prefect.yaml: Prefect ignores what it does not know, so every key is held against what Prefect knows."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml  # type: ignore[import-untyped]
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.importtools import import_object
from prefect.workers.process import ProcessVariables
from pydantic import BaseModel

from kmpl.commands import up, up_prefect
from kmpl.config.experiment import Method
from kmpl.config.presets import load
from kmpl.config.sweep import SweepConfig

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: dict[str, dict[str, Any]] = {deployment["name"]: deployment for deployment in FILE["deployments"]}

OF_FOLDERS = ("folder", "label-studio")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation allows, through unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, list):
        for part in get_args(annotation):
            yield from models_in(part)


def unknown_keys(data: Any, model: type[BaseModel], place: str = "") -> list[str]:
    """Return the keys, with their places, that Prefect's own model of prefect.yaml has no field for."""
    model.model_rebuild()  # Prefect refers to some models before it defines them
    fields = {name: field for key, field in model.model_fields.items() for name in {key, field.alias or key}}
    found: list[str] = []
    for key, value in data.items():
        if key not in fields:
            found.append(f"{place}{key}")
            continue
        for inner in models_in(fields[key].annotation):
            for part in value if isinstance(value, list) else [value]:
                found += unknown_keys(part, inner, f"{place}{key}.") if isinstance(part, dict) else []
    return found


def test_prefect_knows_every_key() -> None:
    assert unknown_keys(FILE, PrefectYamlModel) == []
    PrefectYamlModel.model_validate(FILE)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ([], "deployment"),
        (["deployments", 0], "entry_point"),
        (["deployments", 1], "concurency_limit"),
        (["deployments", 0, "work_pool"], "nam"),
        (["deployments", 2, "concurrency_limit"], "collision"),
    ],
)
def test_a_misspelt_key_is_caught_though_prefect_ignores_it(path: list[str | int], wrong: str) -> None:
    data = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    section: Any = data
    for step in path:
        section = section[step]
    section[wrong] = "x"
    PrefectYamlModel.model_validate(data)  # which is why this file of tests exists
    assert any(place.split(".")[-1] == wrong for place in unknown_keys(data, PrefectYamlModel))


def test_steps_exist_and_take_what_they_are_given() -> None:
    assert FILE["pull"]
    for step in FILE["pull"]:
        ((name, inputs),) = step.items()
        inspect.signature(import_object(name)).bind(**inputs)


def test_nothing_ties_the_file_to_one_machine() -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert "{{ $KMPL_ROOT }}" in text
    assert {"KMPL_ROOT", "KMPL_MLRUNS"} <= up._environment(
        Path("mlruns"), {"prefect": 1, "mlflow": 2, "optuna": 3}
    ).keys()


def test_the_deployments_people_are_told_of_are_there() -> None:
    assert list(DEPLOYMENTS) == ["ratio-sweep", "quick", "full", "folder", "label-studio"]
    assert {up.QUICK, up.WHOLE} == {"semi-supervised/quick", "semi-supervised/ratio-sweep"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_deployment_is_described_and_runs_one_at_a_time_on_the_pool_of_kmpl_up(name: str) -> None:
    deployment = DeploymentConfig.model_validate(DEPLOYMENTS[name])
    assert deployment.description
    assert deployment.tags
    assert deployment.enforce_parameter_schema
    assert DEPLOYMENTS[name]["concurrency_limit"]["limit"] == 1
    assert DEPLOYMENTS[name]["concurrency_limit"]["collision_strategy"] in list(ConcurrencyLimitStrategy)
    assert deployment.work_pool is not None
    assert deployment.work_pool.name == up_prefect.POOL
    assert deployment.work_pool.job_variables.keys() <= ProcessVariables.model_fields.keys()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_each_deployment_has_the_flow_it_names_and_parameters_that_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    flow: Flow[..., Any] = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    assert flow.name == ("label-images" if name in OF_FOLDERS else "semi-supervised")
    assert DEPLOYMENTS[name]["parameters"].keys() <= flow.parameters.properties.keys()
    flow.validate_parameters(DEPLOYMENTS[name]["parameters"])


def sweep(name: str) -> SweepConfig:
    parameters = dict(DEPLOYMENTS[name]["parameters"])
    parameters.pop("preset", None)
    return SweepConfig.model_validate(parameters)


def test_the_parameters_are_the_sweeps_they_are_said_to_be() -> None:
    assert sweep("ratio-sweep") == SweepConfig()
    quick = load("quick").model_dump(include=set(Method.model_fields))
    assert sweep("quick") == SweepConfig(experiment=Method.model_validate(quick))
    everything = sweep("full")
    assert everything.seeds == (0, 1, 2, 3, 4)
    assert len(everything.arms) == 6
    assert {sweep(name).ratios for name in DEPLOYMENTS if name not in OF_FOLDERS} == {(0.8, 0.4, 0.1)}
