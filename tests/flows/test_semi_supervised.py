"""What a flow run computes: what is given of an experiment is laid over the preset that its deployment names."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml  # type: ignore[import-untyped]

from flows import semi_supervised as flow
from kmpl.config.experiment import Method
from kmpl.config.presets import PRESETS, load, merge
from kmpl.config.sweep import SweepConfig, SweepOptions

FILE = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text(encoding="utf-8"))
QUICK: dict[str, Any] = next(d["parameters"] for d in FILE["deployments"] if d["name"] == "quick")


def run_with(monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[Method, str]:
    """Return the experiment that a run of the deployment quick computes, and the name of its flow run.

    Prefect replaces the parameters of a deployment by those that are given, each as a whole.
    """
    parameters = QUICK | given
    ran: list[SweepConfig] = []
    monkeypatch.setattr(flow.sweep, "run", lambda settings, *_: ran.append(settings))
    monkeypatch.setattr(flow.workspace, "current_workspace", lambda _: _nothing())
    monkeypatch.setattr(flow.workspace, "flow_lock", lambda *_: _nothing())
    monkeypatch.setattr(flow, "flow_run", SimpleNamespace(parameters=parameters, id="1"))
    flow.semi_supervised.fn(**flow.semi_supervised.validate_parameters(parameters))
    return ran[0].experiment, flow._run_name()


class _nothing:  # noqa: N801
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def quick(**change: Any) -> Method:
    return Method.model_validate(merge(load("quick"), change).model_dump(include=set(Method.model_fields)))


def test_an_experiment_that_is_given_is_laid_over_the_preset_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    found, name = run_with(monkeypatch)
    assert found == quick()
    given = {"pretrain": {"epochs": 12}}
    changed, another = run_with(monkeypatch, experiment=given)
    assert changed == quick(**given)
    assert changed.pseudo_labels.rounds == 1
    assert another != name
    assert run_with(monkeypatch, experiment={}) == (found, name)


def test_a_setting_that_is_given_wins_even_where_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    three = {"pseudo_labels": {"rounds": Method().pseudo_labels.rounds}}
    assert run_with(monkeypatch, experiment=three)[0] == quick(**three)


def test_clusters_fit_a_pool_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, experiment={"pool": {"size": 2_500}})[0].clustering.n_clusters == 100
    assert run_with(monkeypatch, preset="default", experiment={})[0].clustering.n_clusters == 500


def test_the_form_knows_every_preset_and_shows_the_help_of_the_settings() -> None:
    assert {*get_args(flow.Preset)} == {*PRESETS}
    shown = flow.semi_supervised.parameters.properties
    for name, field in SweepOptions.model_fields.items():
        assert shown[name]["description"] == str(field.description).replace(", separated by commas", "")
    assert "wins" in shown["preset"]["description"]
    assert shown["experiment"]["description"] == SweepConfig.model_fields["experiment"].description
