"""Processes that work for another end with it."""

import multiprocessing
import signal
import time

import pytest

from kmpl.jobs.workers import children_stopped_on_signal


class StoppedError(BaseException):
    """A signal to this process alone, as Prefect raises it."""


def work() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    time.sleep(60)


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt, ValueError])
def test_who_is_stopped_alone_stops_its_processes_too(error: type[BaseException]) -> None:
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
