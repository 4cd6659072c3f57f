"""A sweep on workers that share no disk with who starts it: addresses alone, and the same report (law 8)."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient
from object_store import Bucket
from sweeping import DIRECT, SILENT, by_prefect, here, kmpl, start
from terminal import behind_a_dead_proxy, one_line, without_prefect

from kmpl.reports.comparison import SweepReport
from kmpl.runtime.servers import free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),
]
BIN = Path(sys.prefix) / "bin"
COMMAND = ("sweep", *DIRECT, "--config", "tiny.toml", "--ratios", "0.4,0.2", "--json", "report.json")


@dataclass
class Cluster:
    """Servers and workers on this machine, each in a folder of its own."""

    folder: Path
    bucket: Bucket
    scheduler: str
    tracking: str
    client: Path
    """Folder of who starts sweeps; the workers do not see it."""
    workers: list[Path] = field(default_factory=list)

    @property
    def keys(self) -> dict[str, str]:
        """The environment with credentials and no address."""
        return without_prefect() | self.bucket.environment

    @property
    def environment(self) -> dict[str, str]:
        """The environment of who starts sweeps: what the guide's lines export, and behind a proxy that is dead."""
        addresses = {"KMPL_STORE": self.bucket.address, "KMPL_DASK": self.scheduler}
        own = {"MLFLOW_TRACKING_URI": self.tracking, "KMPL_SCRATCH": str(self.client / "scratch")}
        return behind_a_dead_proxy() | self.bucket.environment | addresses | own


def report(cwd: Path) -> SweepReport:
    return SweepReport.model_validate_json((cwd / "report.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def running(*command: str, cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    cwd.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([*command], cwd=cwd, env=env, start_new_session=True, **SILENT) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def hidden(folder: Path, command: list[str]) -> list[str]:
    """Return a command for whom a folder is empty, where the system lets us: another machine's disk is not there."""
    hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{folder}" && exec "$@"', "sh"]
    try:
        allowed = subprocess.run([*hide, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return [*hide, *command] if allowed else command


@contextlib.contextmanager
def workers(cluster: Cluster, n: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    with contextlib.ExitStack() as stack:
        started = []
        for number in range(n):
            home = cluster.folder / f"worker {len(cluster.workers)}"
            cluster.workers.append(home)
            own = {"KMPL_SCRATCH": str(home / "scratch"), "KMPL_CACHE": str(home / "cache"), "HOME": str(home)}
            serve = [str(BIN / "dask"), "worker", cluster.scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            serve += ["--name", str(number), "--local-directory", "."]
            command = hidden(cluster.client, serve)
            started.append(stack.enter_context(running(*command, cwd=home, env=cluster.keys | own)))
        yield started


@pytest.fixture
def cluster(tmp_path: Path, bucket: Bucket) -> Iterator[Cluster]:
    port, tracking = free_port(), f"http://127.0.0.1:{free_port()}"
    made = Cluster(tmp_path, bucket, f"tcp://127.0.0.1:{port}", tracking, tmp_path / "client")
    made.client.mkdir()
    serve = [str(BIN / "mlflow"), "server", "--host", "127.0.0.1", "--port", tracking.rpartition(":")[2]]
    serve += ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts"]
    schedule = [str(BIN / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    lean = made.keys | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (
        running(*serve, cwd=tmp_path / "mlflow", env=lean),
        running(*schedule, cwd=tmp_path / "scheduler", env=made.keys),
    ):
        assert wait_for(f"{tracking}/health", 120)
        yield made


def sweep(cluster: Cluster, *more: str) -> tuple[subprocess.CompletedProcess[str], float]:
    begin = time.monotonic()
    done = kmpl(*by_prefect(COMMAND), *more, cwd=cluster.client, env=cluster.environment)
    return done, time.monotonic() - begin


def test_law_8_workers_that_share_addresses_alone_give_the_same_report(
    cluster: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    direct = tmp_path / "direct"
    direct.mkdir()
    assert here(*COMMAND, "--name", "tiny", cwd=direct).returncode == 0
    with workers(cluster, 2):
        first, seconds = sweep(cluster, "--name", "tiny")
        assert first.returncode == 0, first.stderr
        assert (report(cluster.client).digest) == report(direct).digest
        for line in ("ratio 0.4, seed 0: begun", "epoch 2/2", "ratio 0.2, seed 0: finished"):  # told from elsewhere
            assert line in first.stdout
        well = kmpl("doctor", cwd=cluster.client, env=cluster.environment)
        assert (well.returncode, well.stderr) == (0, "")
        assert well.stdout.count("the same versions") == 2
    assert not [*cluster.client.glob("mlruns/cache")]
    for home in cluster.workers:
        assert not [*home.rglob("mlflow.db")]
        assert [*home.glob("scratch/folders/*/*/*.png")]  # by content, not by the path of who started it
    with workers(cluster, 2):  # others, whose disks are empty
        again, seconds_again = sweep(cluster, "--name", "again")
    assert again.returncode == 0, again.stderr
    assert "found in the store" in again.stdout
    assert "epoch 2/2" not in again.stdout
    record_property("seconds", (round(seconds, 1), round(seconds_again, 1)))
    print(f"first {seconds:.1f} s, again from the store {seconds_again:.1f} s")


def test_law_5_a_worker_that_is_killed_changes_no_number(cluster: Cluster, tmp_path: Path) -> None:
    direct = tmp_path / "direct"
    direct.mkdir()
    longer = ("--name", "tiny", "--pretrain.epochs", "40")
    assert here(*COMMAND, *longer, cwd=direct).returncode == 0
    with (
        workers(cluster, 2) as started,
        start(*by_prefect(COMMAND), *longer, cwd=cluster.client, env=cluster.environment) as first,
    ):
        waiting = {"ratio 0.4, seed 0: pretrain: epoch 2/40", "ratio 0.2, seed 0: pretrain: epoch 2/40"}
        assert first.stdout is not None
        for line in first.stdout:
            waiting -= {text for text in waiting if text in line}
            if not waiting:
                break
        assert not waiting
        started[0].kill()
        out, errors = first.communicate(timeout=600)
    assert first.returncode == 0, errors
    assert out.count(": pretrain: epoch 1/40") == 1  # what the killed one was at is begun anew by the other
    assert report(cluster.client).digest == report(direct).digest
    client = MlflowClient(cluster.tracking)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED", "KILLED"}


def test_workers_that_do_not_see_the_folder_make_none_of_their_own(cluster: Cluster) -> None:
    with workers(cluster, 1):
        environment = {k: v for k, v in cluster.environment.items() if k not in ("KMPL_STORE", "MLFLOW_TRACKING_URI")}
        done = kmpl(*by_prefect(COMMAND), "--name", "tiny", cwd=cluster.client, env=environment)
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert f"does not see {cluster.client}/mlruns of " in line
    assert "give MLFLOW_TRACKING_URI=http://… and KMPL_STORE=s3://…, which all machines reach" in line
    assert not [*cluster.workers[0].rglob("*.safetensors")]
