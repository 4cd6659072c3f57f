"""The champion moves when validation says so, and never for another reason. On a real registry with a real model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.errors import UserError
from kmpl.method import experiment
from kmpl.method.results import Evaluation
from kmpl.method.step_inputs import EvaluateInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import load as load_pool
from kmpl.tracking.champion import ALIAS, Candidate, has_champion_and_version, promote
from kmpl.tracking.experiment_runs import experiment_run, start

# MLflow warns about its own type hints when it is first asked to log or load a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")
TASK = "MNIST, literature protocol"


def no_test(_: EvaluateInput) -> Evaluation:
    """Stand in for the test, which no champion is chosen by."""
    return Evaluation(
        accuracy=0.0,
        views={},
        class_accuracy=(),
        confusion=np.zeros((10, 10)),
        calibration_error=0.0,
        log_loss=0.0,
        seconds=0.0,
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return tracking.open_store(tmp_path_factory.mktemp("mlruns"))


@pytest.fixture(scope="module")
def trained(client: MlflowClient, tiny: ExperimentConfig) -> str:
    """The run of a real arm, with the model that it logged."""
    config = merge(tiny, {"arms": "labelled-only"})
    with experiment_run(client, config) as tracked:
        steps = Steps(evaluate=no_test, begun=tracked.log_pool, report=tracked.log_arm)
        experiment.run(config, steps)
    (arm,) = client.search_runs(
        [client.get_run(tracked.id).info.experiment_id], f"tags.`mlflow.parentRunId` = '{tracked.id}'"
    )
    return str(arm.info.run_id)


class Registry:
    """One registered model, and candidates for it that share the one network but were told apart by validation."""

    def __init__(self, client: MlflowClient, trained: str, name: str) -> None:
        self.client, self.name = client, name
        self.model = client.get_run(trained).outputs.model_outputs[0].model_id

    def candidate(self, accuracy: float, loss: float = 0.5, task: str = TASK, images: int = 1_000) -> Candidate:
        run = start(self.client, "pseudo-label", {"kind": "arm"})
        self.client.log_outputs(run, [LoggedModelOutput(self.model, 0)])
        self.client.set_terminated(run)
        return Candidate(run=run, task=task, accuracy=accuracy, loss=loss, images=images, origin=f"a sweep, {accuracy}")

    def asked(self, candidate: Candidate) -> str:
        return promote(self.client, self.name, candidate)

    @property
    def champion(self) -> ModelVersion:
        return self.client.get_model_version_by_alias(self.name, ALIAS)

    @property
    def versions(self) -> list[ModelVersion]:
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda version: int(version.version))


@pytest.fixture
def registry(client: MlflowClient, trained: str, request: pytest.FixtureRequest) -> Registry:
    return Registry(client, trained, request.node.name.replace("[", "-").replace("]", ""))


def test_the_first_candidate_becomes_champion(registry: Registry) -> None:
    candidate = registry.candidate(0.5, 1.25)
    said = registry.asked(candidate)
    assert said == (
        f"{registry.name} version 1 (a sweep, 0.5) became the first champion: validation 50.00% of 1000 images, "
        "at least 46.91%, log-loss 1.2500"
    )
    champion = registry.champion
    assert champion.run_id == candidate.run
    assert champion.source == f"models:/{registry.model}"
    assert champion.tags == {
        "task": TASK,
        "origin": "a sweep, 0.5",
        "validation_accuracy": "0.5",
        "validation_loss": "1.25",
        "validation_images": "1000",
        "decision": said,
    }
    assert champion.description == said


@pytest.mark.parametrize(
    ("accuracy", "loss", "moves"),
    [
        (0.91, 9.0, True),  # accuracy first
        (0.89, 0.1, False),
        (0.9, 0.4, True),  # log-loss where it ties
        (0.9, 0.6, False),
        (0.9, 0.5, False),  # equal is no better
        (0.901, 0.6, True),  # one image of a thousand
        (0.9, 0.5 - 1e-15, True),
    ],
)
def test_the_alias_moves_where_validation_improves(
    accuracy: float, loss: float, moves: bool, registry: Registry
) -> None:
    registry.asked(registry.candidate(0.9, 0.5))
    challenger = registry.candidate(accuracy, loss)
    said = registry.asked(challenger)
    assert int(registry.champion.version) == (2 if moves else 1)
    assert ("became champion" if moves else "was refused") in said
    assert said.startswith(f"{registry.name} version 2 (a sweep, {accuracy}) ")
    assert "version 1" in said
    assert said.endswith("validation 90.00% of 1000 images, at least 87.98%, log-loss 0.5000")
    first, second = registry.versions
    assert second.tags["decision"] == second.description == said
    assert "first champion" in first.tags["decision"]  # what was decided about others stays
    assert second.run_id == challenger.run


def test_validation_on_another_task_is_no_argument(registry: Registry) -> None:
    registry.asked(registry.candidate(0.5))
    said = registry.asked(registry.candidate(0.99, task="KMNIST, notebook protocol"))
    assert int(registry.champion.version) == 1
    assert f"version 1 was judged on {TASK}, this one on KMNIST, notebook protocol" in said
    assert "register it under another --model" in said


def test_asking_twice_registers_once(registry: Registry) -> None:
    winner, loser = registry.candidate(0.9), registry.candidate(0.8)
    said = [registry.asked(winner), registry.asked(loser)]
    assert [registry.asked(winner), registry.asked(loser)] == said
    assert [version.run_id for version in registry.versions] == [winner.run, loser.run]
    assert registry.champion.run_id == winner.run


def test_a_champion_that_was_dethroned_does_not_come_back_by_asking_again(registry: Registry) -> None:
    old, new = registry.candidate(0.8), registry.candidate(0.9)
    registry.asked(old)
    registry.asked(new)
    assert "was refused" in registry.asked(old)
    assert registry.champion.run_id == new.run
    assert len(registry.versions) == 2


class KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["set_model_version_tag", "update_model_version", "set_registered_model_alias"])
@pytest.mark.parametrize("first", [True, False])
def test_killed_on_the_way_it_is_finished_when_asked_again(
    step: str, first: bool, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not first:
        registry.asked(registry.candidate(0.5))
    candidate = registry.candidate(0.9)

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(registry.client, step, kill)
        with pytest.raises(KilledError):
            registry.asked(candidate)
    assert registry.versions[-1].run_id == candidate.run
    said = registry.asked(candidate)
    assert registry.champion.run_id == candidate.run
    assert registry.champion.tags["decision"] == registry.champion.description == said
    assert len(registry.versions) == (1 if first else 2)


def test_a_candidate_whose_model_is_gone_is_refused_in_one_line(registry: Registry) -> None:
    empty = start(registry.client, "pseudo-label", {"kind": "arm"})
    with pytest.raises(UserError, match=f"^run {empty} has no model; it was removed from the store$"):
        registry.asked(replace(registry.candidate(0.5), run=empty))


def test_the_registry_holds_what_was_not_deleted_on_its_page(registry: Registry) -> None:
    candidate = registry.candidate(0.9)
    assert not has_champion_and_version(registry.client, registry.name, [candidate.run])
    registry.asked(candidate)
    assert has_champion_and_version(registry.client, registry.name, [candidate.run])
    assert not has_champion_and_version(registry.client, registry.name, ["another"])
    registry.client.delete_model_version(registry.name, "1")
    assert not has_champion_and_version(registry.client, registry.name, [candidate.run])
    assert "version 2 (a sweep, 0.9) became the first champion" in registry.asked(candidate)
    registry.client.delete_registered_model_alias(registry.name, ALIAS)
    assert not has_champion_and_version(registry.client, registry.name, [candidate.run])


def test_a_candidate_whose_model_was_deleted_is_refused_with_the_way_out(registry: Registry) -> None:
    run = start(registry.client, "pseudo-label", {"kind": "arm"})
    model = registry.client.create_logged_model(registry.client.get_run(run).info.experiment_id, "model", run)
    registry.client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
    registry.client.delete_logged_model(model.model_id)
    line = rf"^the model of run {run} was deleted; delete that run and its parent too, and run the same command again"
    with pytest.raises(UserError, match=line):
        registry.asked(replace(registry.candidate(0.5), run=run))


def test_a_champion_named_by_hand_is_not_taken_down(registry: Registry) -> None:
    """It has no validation to compare with."""
    registry.client.create_registered_model(registry.name)
    by_hand = registry.client.create_model_version(registry.name, f"models:/{registry.model}", model_id=registry.model)
    registry.client.set_registered_model_alias(registry.name, ALIAS, by_hand.version)
    said = registry.asked(registry.candidate(0.99))
    assert "was refused" in said
    assert registry.champion.version == by_hand.version


def test_the_aliased_model_classifies_raw_images(registry: Registry, tmp_path: Path, tiny: ExperimentConfig) -> None:
    import mlflow

    registry.asked(registry.candidate(0.5))
    model = mlflow.pyfunc.load_model(f"models:/{registry.name}@{ALIAS}", dst_path=str(tmp_path))
    pool, _ = load_pool(merge(tiny, {"pool": {"image_size": 28}}))  # the model takes pictures as they are
    shares = model.predict(pool.images[:50, 0].numpy())
    assert shares.shape == (50, 10)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4)
    assert (shares.argmax(axis=1) == pool.labels[:50]).mean() > 0.3


def test_all_of_a_few_images_right_says_less_than_nearly_all_of_many(registry: Registry) -> None:
    registry.asked(registry.candidate(0.985, images=800))
    assert "was refused" in registry.asked(registry.candidate(1.0, 0.01, images=100))
    assert int(registry.champion.version) == 1
    assert "became champion" in registry.asked(registry.candidate(0.985, images=2_000))
