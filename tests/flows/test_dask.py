"""What may go wrong with Dask is one line: nobody answers, another server does, workers die, the scheduler is gone."""

import os
import socket
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dask.config
import distributed
import pytest
from sweeping import here

from flows.remote import waiting
from kmpl.config.presets import load
from kmpl.errors import UserError
from kmpl.jobs import doctor_workers
from kmpl.jobs.experiment import ExperimentJob
from kmpl.jobs.scheduler import check_scheduler
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.addresses import Addresses


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_workers, "PATIENCE_SECONDS", 0.3)


@pytest.fixture
def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def another() -> Iterator[str]:
    """A server that is no scheduler: MLflow's port, or the dashboard's."""

    class Silent(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def dask_cluster() -> Iterator[Any]:
    """A scheduler that gives up a task at the first death, and a worker in a process of its own."""
    settings = {"distributed.scheduler.allowed-failures": 0}
    with warnings.catch_warnings(), dask.config.set(settings):
        warnings.simplefilter("ignore")  # of its own machinery
        with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            yield cluster


def job(address: str) -> ExperimentJob:
    there = Workspace(Path("/none"), addresses=Addresses(scheduler=address))
    return ExperimentJob(name="ratio 0.2, seed 0", config=load(), workspace=there, tags=())


@pytest.mark.parametrize("which", ["nobody", "another", "nonsense://x:1"])
def test_a_sweep_whose_scheduler_does_not_answer_ends_at_once_in_one_line(
    which: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = which if "://" in which else request.getfixturevalue(which)
    monkeypatch.setenv("KMPL_DASK", address)
    begin = time.monotonic()
    done = here("sweep", "--config", "tiny.toml", "--ratios", "0.4", "--name", "a", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kmpl: KMPL_DASK {address}: no scheduler of Dask's answers (")
    assert line.endswith("; start it (dask scheduler), name another, or unset KMPL_DASK")
    assert time.monotonic() - begin < 60
    assert not (tmp_path / "mlruns" / "prefect").exists()  # no server was started before


def test_without_an_address_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    check_scheduler("")
    monkeypatch.setattr("kmpl.jobs.scheduler.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^KMPL_DASK tcp://host:1: its library is not installed; install kmpl"):
        check_scheduler("tcp://host:1")


def test_a_worker_that_dies_too_often_and_a_scheduler_that_is_gone_are_one_line_each(dask_cluster: Any) -> None:
    address = dask_cluster.scheduler_address
    check_scheduler(address)
    with distributed.Client(address, set_as_default=False) as client:
        deadly = waiting(client.submit(os._exit, 1, pure=False), job(address))
        with pytest.raises(UserError) as killed:
            deadly()
        pending = waiting(client.submit(time.sleep, 600, pure=False), job(address))
        dask_cluster.close()
        with pytest.raises(UserError) as gone:
            pending()
    assert str(killed.value).startswith("ratio 0.2, seed 0: 1 workers died at it, the last one was tcp://127.0.0.1:")
    assert str(gone.value).startswith(f"ratio 0.2, seed 0: Dask's scheduler at {address} is gone; start it")
    for error in (killed, gone):
        assert "\n" not in str(error.value)
        assert str(error.value).endswith("run the same command again: all finished steps are kept")
