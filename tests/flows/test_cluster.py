"""Sweeps on workers that share no disk with who starts them: addresses alone, the same report (law 8), whoever dies
(law 5). PostgreSQL, MLflow, Prefect, Dask and an S3 server are real, on this machine."""

import json
import logging
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from loopback import LoopbackCluster, cluster_in
from mlflow import MlflowClient
from mlflow.entities import Run
from processes import wait_until
from sweeping import DIRECT, by_prefect, here, kmpl, start
from terminal import behind_a_dead_proxy, one_line, without_prefect

from kmpl.reports.comparison import SweepReport
from kmpl.tuning.trial_claims import is_finished

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),
]
COMMAND = ("sweep", *DIRECT, "--config", "tiny.toml", "--json", "report.json")
TWO = ("--ratios", "0.4,0.2")
LONGER = (*TWO, "--pretrain.epochs", "40")
TUNING = ("--ratios", "0.4", "--trials", "3", "--pseudo-labels.rounds", "1", "--name", "tuned")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCluster]:
    """All servers; each test starts the workers that it needs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with cluster_in(tmp_path_factory.mktemp("machines") / "cluster", without_prefect()) as made:
        yield made


@pytest.fixture(autouse=True)
def without_workers(cluster: LoopbackCluster) -> Iterator[None]:
    """Leave no worker to the next test."""
    yield
    for worker in cluster.workers:
        cluster.kill(worker)


def environment(cluster: LoopbackCluster) -> dict[str, str]:
    """The environment of who starts sweeps: what the guide's lines export, and behind a proxy that is dead."""
    own = {"KMPL_SCRATCH": str(cluster.client / "scratch")}
    return behind_a_dead_proxy() | cluster.store.bucket.environment | cluster.addresses | own


def report(cwd: Path) -> SweepReport:
    return SweepReport.model_validate_json((cwd / "report.json").read_text(encoding="utf-8"))


def direct(folder: Path, *more: str) -> SweepReport:
    """What the same command finds on this machine alone."""
    folder.mkdir()
    assert here(*COMMAND, *more, cwd=folder).returncode == 0
    return report(folder)


def runs(cluster: LoopbackCluster, sweep: str) -> list[Run]:
    client = MlflowClient(cluster.tracking)
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()], f"tags.sweep = '{sweep}'"))


def kinds(found: list[Run], kind: str) -> Counter[tuple[str, str]]:
    """Count a sweep's runs of a kind by the key of what they did, and by how they ended."""
    return Counter((run.data.tags["key"], run.info.status) for run in found if run.data.tags["kind"] == kind)


@dataclass
class Command:
    """A command at work; what it says is read while it works."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += iter(self.process.stdout.readline, "")

    def says(self, text: str, seconds: float = 600) -> bool:
        """Wait until a new line has a text, or the command has ended; say whether it works on."""
        before = len(self.lines)
        wait_until(
            lambda: any(re.search(text, line) for line in self.lines[before:]) or self.process.poll() is not None,
            seconds,
        )
        return self.process.poll() is None

    def end(self) -> tuple[int, str]:
        """Return the exit status, and what was said of errors."""
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        self.reader.join()
        return self.process.wait(), errors


def test_law_8_workers_that_share_addresses_alone_give_the_same_report(
    cluster: LoopbackCluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = direct(tmp_path / "direct", *TWO, "--name", "tiny")
    homes = [cluster.folder / f"worker-{len(cluster.workers) + i}" for i in range(2)]
    for _ in homes:
        cluster.start_worker()
    begin = time.monotonic()
    first = kmpl(*by_prefect(COMMAND), *TWO, "--name", "tiny", cwd=cluster.client, env=environment(cluster))
    seconds = time.monotonic() - begin
    assert first.returncode == 0, first.stderr
    assert report(cluster.client).digest == whole.digest
    for line in ("ratio 0.4, seed 0: begun", "epoch 2/2", "ratio 0.2, seed 0: finished"):  # told from elsewhere
        assert line in first.stdout
    well = kmpl("doctor", cwd=cluster.client, env=environment(cluster))
    assert (well.returncode, well.stderr) == (0, "")
    assert well.stdout.count("the same versions") == 2
    assert not [*cluster.client.glob("mlruns/cache")]
    assert not [*cluster.client.glob("mlruns/locks/*")]
    for home in homes:
        assert not [*home.rglob("mlflow.db")]
        assert [*home.glob("scratch/folders/*/*/*.png")]  # by content, not by the path of who started it
    for worker in cluster.workers:
        cluster.kill(worker)
    cluster.start_worker()  # whose disk is empty
    begin = time.monotonic()
    again = kmpl(*by_prefect(COMMAND), *TWO, "--name", "again", cwd=cluster.client, env=environment(cluster))
    assert again.returncode == 0, again.stderr
    assert "found in the store" in again.stdout
    assert "epoch 2/2" not in again.stdout
    record_property("seconds", (round(seconds, 1), round(time.monotonic() - begin, 1)))
    print(f"first {seconds:.1f} s, again from the store {time.monotonic() - begin:.1f} s")


def test_law_5_whoever_dies_no_experiment_is_lost_and_none_is_doubled(cluster: LoopbackCluster, tmp_path: Path) -> None:
    """The same command is started again whenever it ends; what is hit, and in which order, is fixed, when is not."""
    whole = direct(tmp_path / "direct", "--name", "hit", *LONGER)
    for _ in range(2):
        cluster.start_worker()
    done: list[str] = []

    def restart_postgres() -> None:
        cluster.postgres.stop()
        time.sleep(1)
        cluster.postgres.start()

    def store_gone() -> None:
        cluster.store.stop()
        time.sleep(20)
        cluster.store.start()

    def kill_worker() -> None:
        cluster.kill(cluster.workers[-1])
        cluster.start_worker()

    def restart_mlflow() -> None:
        cluster.kill(cluster.servers["mlflow"])
        cluster.start_server("mlflow")

    def kill_client() -> None:
        working.process.send_signal(signal.SIGKILL)

    hits = [kill_worker, restart_postgres, store_gone, kill_client, restart_mlflow]
    command = [*by_prefect(COMMAND), "--name", "hit", *LONGER]
    status, turns = -1, 0
    while status != 0 and turns < 8:
        turns += 1
        with start(*command, cwd=cluster.client, env=environment(cluster)) as process:
            working = Command(process)
            while hits and working.says(r"epoch \d+/40"):
                time.sleep(random.uniform(0, 1))
                done.append(hits[0].__name__)
                hits.pop(0)()
            status, errors = working.end()
        print(done, status, errors)
        assert "Traceback" not in errors
    assert status == 0, errors
    assert len(done) >= 4, f"the sweep ended before the others: {done}"
    assert report(cluster.client).digest == whole.digest
    found = runs(cluster, "hit")
    assert {run.info.status for run in found} <= {"FINISHED", "KILLED", "FAILED"}
    finished = [n for (_, how), n in kinds(found, "experiment").items() if how == "FINISHED"]
    assert finished == [1, 1]


def test_law_5_tuning_on_workers_that_share_no_disk_loses_and_doubles_no_trial(
    cluster: LoopbackCluster, tmp_path: Path
) -> None:
    whole = direct(tmp_path / "direct", *TUNING)
    for _ in range(2):
        cluster.start_worker()
    command = [*by_prefect(COMMAND), *TUNING, "--jobs", "2"]
    with start(*command, cwd=cluster.client, env=environment(cluster)) as process:
        working = Command(process)
        assert working.says(r"trial 1\b")
        cluster.kill(cluster.workers[-1])
        status, errors = working.end()
    assert status == 0, errors
    found = report(cluster.client)
    assert [len(study.trials) for study in found.studies] == [3, 3]
    assert [[t.params for t in study.trials] for study in found.studies] == [
        [t.params for t in study.trials] for study in whole.studies
    ]
    assert found.digest == whole.digest
    storage = optuna.storages.RDBStorage(cluster.addresses["OPTUNA_STORAGE"])
    for summary in optuna.get_all_study_summaries(storage):
        kept = [t for t in optuna.load_study(study_name=summary.study_name, storage=storage).trials if is_finished(t)]
        assert len(kept) == 3
    storage.remove_session()
    assert not [run for run in runs(cluster, "tuned") if run.info.status == "RUNNING"]


def test_two_machines_that_start_one_sweep_never_mix(cluster: LoopbackCluster) -> None:
    cluster.start_worker()
    other = cluster.folder / "another client"
    other.mkdir()
    command = [*by_prefect(COMMAND), "--name", "both", *TWO, "--pretrain.epochs", "41"]  # nothing is in the store yet
    with start(*command, cwd=cluster.client, env=environment(cluster)) as process:
        first = Command(process)
        assert first.says(r"epoch \d+/41")
        second = kmpl(*command, cwd=other, env=environment(cluster))
        assert first.end()[0] == 0
    assert second.returncode == 2
    assert one_line(second.stderr) == (
        "kmpl: sweep 'both' is running already; wait for it, or give this one another --name\n"
    )
    assert [*kinds(runs(cluster, "both"), "experiment").values()] == [1, 1]
    again = kmpl(*command, cwd=other, env=environment(cluster))  # it finds all finished
    assert again.returncode == 0, again.stderr
    assert json.loads((other / "report.json").read_text())["run"] == report(cluster.client).run


@pytest.mark.skipif(not os.environ.get("KMPL_TEST_QUIET"), reason="KMPL_TEST_QUIET=1 says that two cores are quiet")
def test_two_workers_take_half_the_time_and_one_takes_that_of_a_direct_run(
    cluster: LoopbackCluster, tmp_path: Path
) -> None:
    """Eight experiments of one thread each; the time is from the first that is begun to the last that is finished."""
    eight = (*TWO, "--seeds", "0,1,2,3", "--pretrain.epochs", "150", "--name", "eight")
    seconds = {0: spent(start(*COMMAND, *eight, "--threads", "1", cwd=tmp_path))}
    for n in (1, 2):
        cluster.start_worker()
        store = {"KMPL_STORE": f"s3://kmpl/of-{n}"}  # an empty one
        command = [*by_prefect(COMMAND), *eight[:-1], f"eight-{n}"]
        seconds[n] = spent(start(*command, cwd=cluster.client, env=environment(cluster) | store))
        assert report(cluster.client).digest == report(tmp_path).digest
    efficiency, overhead = seconds[1] / (2 * seconds[2]), seconds[1] / seconds[0] - 1
    print(f"{seconds}: efficiency {efficiency:.3f}, overhead {overhead:+.1%}")
    assert efficiency >= 0.85
    assert overhead <= 0.08


def spent(process: subprocess.Popen[str]) -> float:
    """Return the seconds from a sweep's first experiment that is begun to its last that is finished."""
    assert process.stdout is not None
    told = [(time.monotonic(), line) for line in process.stdout]
    assert process.wait() == 0
    begun = next(at for at, line in told if line.rstrip().endswith(": begun"))
    return max(at for at, line in told if line.rstrip().endswith(": finished")) - begun


def test_workers_that_do_not_see_the_folder_make_none_of_their_own(cluster: LoopbackCluster) -> None:
    cluster.start_worker()
    home = cluster.folder / f"worker-{len(cluster.workers) - 1}"
    embedded = {k: v for k, v in environment(cluster).items() if k not in ("KMPL_STORE", "MLFLOW_TRACKING_URI")}
    done = kmpl(*by_prefect(COMMAND), *TWO, "--name", "embedded", cwd=cluster.client, env=embedded)
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert f"does not see {cluster.client}/mlruns of " in line
    assert "give MLFLOW_TRACKING_URI=http://… and KMPL_STORE=s3://…, which all machines reach" in line
    assert not [*home.rglob("*.safetensors")]
