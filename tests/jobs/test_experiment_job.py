"""One experiment of a sweep: its errors say where they were, and processes that work for another end with it."""

import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.errors import UserError
from kmpl.jobs.experiment import named_in_errors, without_test_set
from kmpl.jobs.workers import children_stopped_on_signal
from kmpl.jobs.workspace import Workspace
from kmpl.method.step_inputs import EvaluateInput
from kmpl.method.step_interface import STEP_NAMES, Steps, wrap_each
from kmpl.models.cnn import CNN


class StoppedError(BaseException):
    """A signal to this process alone, as Prefect raises it."""


def work() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    time.sleep(60)


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt, ValueError])
def test_a_process_that_is_stopped_alone_stops_its_workers_too(error: type[BaseException]) -> None:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    begin = time.monotonic()
    with pytest.raises(error), children_stopped_on_signal():
        raise error
    child.join(5 if error is StoppedError else 0.2)
    assert child.is_alive() == (error is not StoppedError)  # on Ctrl-C the terminal tells all of them
    assert time.monotonic() - begin < 10
    child.kill()
    child.join()


@pytest.mark.parametrize("error", [UserError, ValueError])
@pytest.mark.parametrize("step", STEP_NAMES)
def test_an_error_says_in_which_step_it_was(step: str, error: type[Exception]) -> None:
    def fail(given: object) -> NoReturn:  # noqa: ARG001
        raise error("the lamp went out")

    handed: dict[str, Any] = {"evaluate": fail} | {step: fail}
    named = wrap_each(Steps(**handed), named_in_errors)
    with pytest.raises(error, match="the lamp went out") as caught:
        getattr(named, step)(None)
    name = step.replace("_", "-")
    assert name in str(caught.value) or caught.value.__notes__ == [f"in {name}"]


def test_steps_without_a_test_set_refuse_to_open_one(tmp_path: Path) -> None:
    steps = without_test_set(Workspace(tmp_path), "tuning")
    with pytest.raises(AssertionError, match="the test set is not opened here"):
        steps.evaluate(EvaluateInput(config=ExperimentConfig(), network=CNN(1, 10)))
