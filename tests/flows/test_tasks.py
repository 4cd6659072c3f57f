"""Tasks: what is retried, what is not, and what a flow run refuses. On Prefect's own test server."""

import os
import time
from pathlib import PurePath
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName
from prefect.exceptions import ParameterBindError
from prefect.flow_engine import run_flow

from flows import tasks
from flows.semi_supervised import semi_supervised
from kmpl.config.experiment import Method
from kmpl.config.sweep import SweepConfig
from kmpl.errors import DivergedError, PrunedError, UserError
from kmpl.method.step_interface import STEP_NAMES

pytestmark = pytest.mark.usefixtures("prefect_server")


class Flaky:
    """Fails so many times, then gives its answer."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def run(step: str, work: Flaky) -> str:
    @flow(name="one-task")
    def one() -> str:
        return tasks.run_task(step, "ratio 0.1, seed 0: this", work)

    return one()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "exponential_backoff", lambda _: [0.1, 0.2, 0.4])


def refused_download() -> UserError:
    """A download that the network refused, as kmpl tells it."""
    error = UserError("cannot get KMNIST: Connection refused")
    error.__cause__ = ConnectionRefusedError("Connection refused")
    return error


@pytest.mark.parametrize("step", ["load", "report"])
@pytest.mark.parametrize("error", [OSError("disk away"), refused_download()])
def test_steps_that_may_fail_from_outside_are_tried_again(step: str, error: Exception) -> None:
    work = Flaky(2, error)
    assert run(step, work) == "done"
    assert work.calls == 3


def test_retries_come_to_an_end() -> None:
    work = Flaky(100, OSError("disk away"))
    with pytest.raises(OSError, match="disk away"):
        run("report", work)
    assert work.calls == 4


@pytest.mark.parametrize("step", ["pretrain", "pretext", "pseudo_label", "retrain", "evaluate"])
def test_arithmetic_that_failed_fails_again_and_is_not_repeated(step: str) -> None:
    work = Flaky(1, DivergedError("diverged at epoch 1"))
    with pytest.raises(DivergedError):
        run(step, work)
    assert work.calls == 1


def test_bad_settings_are_not_tried_again_even_where_the_outside_may_fail() -> None:
    work = Flaky(1, UserError("clustering.n_clusters 601: the pool has 590 images"))
    with pytest.raises(UserError):
        run("load", work)
    assert work.calls == 1


def test_a_pruned_training_is_a_task_that_is_done_and_the_trial_hears_of_it() -> None:
    states: list[str] = []

    @flow(name="pruned")
    def one() -> None:
        with pytest.raises(PrunedError, match="below the median"):
            tasks.run_task("retrain", "ratio 0.1, tuning: pruned", Flaky(1, PrunedError("below the median")))
        with get_client(sync_client=True) as client:
            end = time.monotonic() + 20
            while not states and time.monotonic() < end:  # task runs reach the server a moment later
                found = client.read_task_runs(
                    task_run_filter=TaskRunFilter(name=TaskRunFilterName(any_=["ratio 0.1, tuning: pruned"]))
                )
                states.extend(str(run.state.name) for run in found if run.state and run.state.is_final())

    one()
    assert states == ["Completed"]


def test_every_step_is_a_task_with_a_timeout() -> None:
    assert set(tasks.TASKS) == set(STEP_NAMES)
    assert all(how.timeout_seconds > 0 for how in tasks.TASKS.values())
    assert tasks.in_its_own_process.timeout_seconds
    assert semi_supervised.timeout_seconds


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_that_is_spread_may_be_waited_for_later(jobs: int) -> None:
    @flow(name="spread")
    def everywhere() -> list[str]:
        waits = list(tasks.distribute(os.fspath, [PurePath(name) for name in "abc"], jobs))
        return [wait() for wait in waits]

    assert everywhere() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"ratios": ["few"]}, UserError),
        ({"ratios": [0.1, 0.1]}, UserError),
        ({"ratios": []}, UserError),
        ({"seeds": [-1]}, UserError),
        ({"jobs": 0}, UserError),
        ({"experiment": {"pretrain": {"epoch": 3}}}, UserError),
        ({"experiment": {"seed": 1}}, UserError),
        ({"ratio": 0.1}, ParameterBindError),
    ],
)
def test_parameters_of_a_wrong_type_or_name_are_refused_before_any_work(
    parameters: dict[str, object], error: type[Exception], tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        semi_supervised(**parameters)  # type: ignore[call-overload]
    assert not os.listdir(tmp_path)  # noqa: PTH208


def test_a_run_with_wrong_parameters_fails_at_its_start_with_the_line_that_names_them() -> None:
    parameters = {"ratios": [None], "experiment": {"pretrain": {"epoch": 3}}}
    state: Any = run_flow(semi_supervised, parameters=parameters, return_type="state")
    assert state.is_failed()
    line = "parameters of semi-supervised: ratios.0 is null, as which NaN arrives too; leave it out, or give a value; "
    assert f"{line}unknown parameter 'experiment.pretrain.epoch'" in state.message


def test_the_form_has_every_setting_with_help_and_range() -> None:
    schema = semi_supervised.parameters.model_dump()
    assert set(schema["properties"]) == {*SweepConfig.model_fields, "preset"}
    assert all(schema["properties"][name].get("description") for name in schema["properties"])
    assert schema["properties"]["jobs"]["minimum"] == 1
    for name, field in Method.model_fields.items():
        shown = schema["definitions"]["Method"]["properties"][name]
        assert shown.get("description") or "$ref" in str(shown) or not field.description
    for name, default in (("Pretraining", 12), ("Retraining", 5)):
        epochs = schema["definitions"][name]["properties"]["epochs"]
        assert (epochs["minimum"], epochs["default"], epochs["description"]) == (1, default, "Number of epochs.")
