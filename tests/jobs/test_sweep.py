"""Sweeps as a person runs them: what they leave behind, that nothing is done twice, that no kill changes a number."""

import contextlib
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sweeping import DIRECT, SILENT, by_prefect, forked, here, kmpl, runs, start, wait_for_line
from terminal import behind_a_dead_proxy, one_line, without_prefect

from kmpl.runtime.servers import free_port, wait_for

# MLflow warns about its own type hints when it is first asked to log a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")

COMMAND = ("sweep", *DIRECT, "--config", "tiny.toml", "--ratios", "0.4,0.2", "--name", "tiny")


def found(path: Path) -> dict[str, Any]:
    """Return what must not depend on how often a sweep was killed: all but run ids, times and the machine."""
    numbers = json.loads(path.read_text(encoding="utf-8"))
    return {k: v for k, v in numbers.items() if k not in ("run", "runs", "seconds", "times", "environment")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    finished = here(*COMMAND, "--json", "report.json", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return finished


def test_a_sweep_ends_with_its_table_the_champion_and_the_next_commands(
    done: subprocess.CompletedProcess[str],
) -> None:
    lines = (
        "Test accuracy of pseudo-label minus that of",
        "first champion",
        "kmpl report tiny --out report.html",
        "kmpl ui",
    )
    for line in lines:
        assert line in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("done")
def test_all_runs_are_below_one_parent_with_report_page_and_figures(folder: Path) -> None:
    kinds = Counter(run.data.tags["kind"] for run in runs(folder))
    assert kinds == {"sweep": 1, "experiment": 2, "arm": 4, "summary": 4}
    assert {run.info.status for run in runs(folder)} == {"FINISHED"}
    parent = next(run for run in runs(folder) if run.data.tags["kind"] == "sweep")
    below = [run for run in runs(folder) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in below} == {
        *(f"tiny, ratio {ratio}, seed 0" for ratio in (0.2, 0.4)),
        *(f"tiny, ratio {ratio}, {arm}: 1 seed" for ratio in (0.2, 0.4) for arm in ("labelled-only", "pseudo-label")),
    }
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    files = {f.path for place in ("", "figures") for f in client.list_artifacts(parent.info.run_id, place)}
    assert {"sweep.json", "report.html", "figures/accuracy_by_ratio.png", "figures/gain_by_ratio.png"} <= files
    assert "labelled-only" in parent.data.tags["mlflow.note.content"]


@pytest.mark.usefixtures("done")
def test_the_same_sweep_again_computes_nothing_and_adds_no_run(folder: Path) -> None:
    before = len(runs(folder))
    again = here(*COMMAND, "--json", "again.json", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "again.json").read_bytes() == (folder / "report.json").read_bytes()
    assert "ratio 0.4, seed 0: finished before" in again.stdout
    assert "epoch" not in again.stdout
    assert len(runs(folder)) == before


@pytest.mark.usefixtures("done")
@pytest.mark.slow
def test_after_a_change_of_n_clusters_no_pretraining_is_repeated(folder: Path) -> None:
    changed = [*COMMAND[:-1], "other", "--clustering.n-clusters", "15"]
    finished = kmpl(*changed, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("pretrain: found in the store") == 2
    assert "pretrain: epoch" not in finished.stdout
    assert "retrain, round 1: epoch" in finished.stdout


@pytest.mark.usefixtures("done")
def test_a_name_stands_for_one_configuration(folder: Path) -> None:
    other = here(*COMMAND, "--clustering.n-clusters", "14", cwd=folder)
    assert other.returncode == 2
    assert "experiment.clustering.n_clusters was 20, is now 14; choose another --name" in one_line(other.stderr)


@pytest.mark.usefixtures("done")
def test_the_report_as_one_page(folder: Path) -> None:
    assert here("report", "tiny", "--out", "page.html", cwd=folder).returncode == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "labelled-only" in page
    refused = here("report", "tiny", "--out", "page.html", cwd=folder)
    assert refused.returncode == 2
    assert "give --overwrite" in one_line(refused.stderr)
    assert (folder / "page.html").read_text(encoding="utf-8") == page
    assert here("report", "tiny", "--out", "page.html", "--overwrite", cwd=folder).returncode == 0
    unknown = here("report", "tni", "--out", "no.html", cwd=folder)
    assert "no sweep 'tni' (known: " in unknown.stderr
    assert not (folder / "no.html").exists()


@pytest.mark.usefixtures("done")
def test_the_cache_is_shown_and_cleared(folder: Path, tmp_path: Path) -> None:
    shown = here("cache", cwd=folder)
    for kind in ("networks", "features", "pseudo-labels", "evaluations", "all"):
        assert kind in shown.stdout
    (tmp_path / "mlruns" / "cache" / "v0").mkdir(parents=True)
    (tmp_path / "mlruns" / "cache" / "v0" / "old.bin").write_bytes(b"of an older version")
    assert "other" in here("cache", cwd=tmp_path).stdout
    assert here("cache", "--clear", cwd=tmp_path).returncode == 0
    assert not list((tmp_path / "mlruns").rglob("old.bin"))


def kill_once(folder: Path, after: float) -> bool:
    """Start the sweep and kill it, and all it started, after so many seconds; say if it was still running."""
    with start(*COMMAND, "--json", "report.json", cwd=folder, start_new_session=True, **SILENT) as process:
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True
        return False


def kill_at_line(folder: Path, number: int, after: float) -> None:
    """Start the sweep and kill it, and all it started, so many seconds after it has told so many lines."""
    with forked(*COMMAND, "--json", "report.json", cwd=folder, start_new_session=True) as process:
        assert process.stdout is not None
        assert all(process.stdout.readline() for _ in range(number)), "it ended before"
        time.sleep(after)
        assert process.poll() is None, "it ended before"
        os.killpg(process.pid, signal.SIGKILL)


def check_after_kill(folder: Path, expected: Path, moment: str) -> None:
    again = here(*COMMAND, "--json", "report.json", cwd=folder)
    assert again.returncode == 0, f"killed {moment}: {again.stderr}"
    assert found(folder / "report.json") == found(expected), f"killed {moment}"
    everything = runs(folder)
    assert not [run for run in everything if run.info.status == "RUNNING"]
    finished = [run for run in everything if run.info.status == "FINISHED"]
    # Nothing is counted twice: below the sweep's finished run there is each part once.
    assert Counter(run.data.tags["kind"] for run in finished) == {"sweep": 1, "experiment": 2, "arm": 4, "summary": 4}
    ids = {run.info.run_id for run in finished}
    assert all(run.data.tags["mlflow.parentRunId"] in ids for run in finished if run.data.tags["kind"] != "sweep")
    for run in everything:
        if run.info.status == "KILLED":
            assert run.data.tags["successor"] in {other.info.run_id for other in everything}


def took(folder: Path) -> float:
    """Return how long the sweep runs here, starting up and all."""
    begin = time.perf_counter()
    assert kmpl(*COMMAND, "--json", "report.json", cwd=folder).returncode == 0
    return time.perf_counter() - begin


def test_law_5_killed_and_run_again_is_never_killed(
    folder: Path, done: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    told = [line for line in done.stdout.splitlines() if ", seed 0: " in line]
    number, after = random.randrange(1, len(told)), random.random()
    kill_at_line(tmp_path, number, after)
    check_after_kill(tmp_path, folder / "report.json", f"{after} s after line {number}: {told[number - 1]}")


@pytest.mark.usefixtures("done")
@pytest.mark.slow
def test_law_5_killed_at_ten_random_moments(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole, killed = took(tmp_path / "whole"), 0
    for number in range(10):
        place, moment = tmp_path / str(number), whole * random.random()
        place.mkdir()
        killed += kill_once(place, moment)
        check_after_kill(place, folder / "report.json", f"after {moment} s")
    assert killed >= 8  # or the moments were not spread over the run


def test_while_a_sweep_runs_a_second_of_its_name_is_refused_and_ctrl_c_closes_all_runs_as_killed(
    tmp_path: Path,
) -> None:
    with forked(*COMMAND, "--pretrain.epochs", "500", cwd=tmp_path, start_new_session=True) as first:
        try:
            wait_for_line(first, "epoch 1/500")
            second = here(*COMMAND, "--pretrain.epochs", "500", cwd=tmp_path)
            assert second.returncode == 2
            assert "sweep 'tiny' is running already" in one_line(second.stderr)
            assert first.poll() is None
            assert Counter(run.info.status for run in runs(tmp_path)) == {"RUNNING": 2}
            first.send_signal(signal.SIGINT)
            _, errors = first.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
    assert first.returncode == 130
    assert errors == "kmpl: interrupted; the same command goes on where it was\n"
    assert Counter(run.info.status for run in runs(tmp_path)) == {"KILLED": 2}


def test_an_experiment_that_diverges_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    done = here(*COMMAND, "--pretrain.learning-rate", "1e30", "--pretrain.schedule", "constant", cwd=tmp_path)
    assert done.returncode == 2
    assert "ratio 0.4, seed 0: pretrain: diverged at epoch 1" in one_line(done.stderr)
    assert "and 1 more" in done.stderr
    assert Counter(run.info.status for run in runs(tmp_path)) == {"FAILED": 3}


@pytest.mark.usefixtures("done")
@pytest.mark.slow
def test_law_8_dask_gives_the_same_report(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    command = by_prefect(COMMAND)
    outside = behind_a_dead_proxy()
    for name in ("no_proxy", "NO_PROXY"):  # of the workers
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # the workers', which read folder:digits
    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own machinery
        with distributed.LocalCluster(**workers) as cluster:
            through = through_the_scheduler(cluster.scheduler)
            dask = {"KMPL_DASK": cluster.scheduler_address}
            finished = kmpl(*command, "--json", "report.json", cwd=tmp_path, env=outside | dask)
    assert finished.returncode == 0, finished.stderr
    assert found(tmp_path / "report.json") == found(folder / "report.json")
    images = 28 * 28 * 300  # bytes of the pool, which is smaller than in any real sweep
    assert len(through["tasks"]) >= 2, "each experiment is a task"
    assert len(through["results"]) >= 2
    assert max(through["tasks"] + through["results"]) < images / 3, "settings, digests and numbers, no array"


def through_the_scheduler(scheduler: Any) -> dict[str, list[int]]:
    """Return lists that fill with the bytes of each task and of each result that goes through a Dask scheduler.

    Its own figure of a result is 0 (prefect-dask 0.3.7: it is a state of Prefect's), and arrays given as parameters or
    taken by the client stay in its memory: 116 to 312 MB for one of 200 MB.
    """
    from distributed.diagnostics.plugin import SchedulerPlugin
    from distributed.protocol.pickle import dumps  # what it is sent with

    bytes_of: dict[str, list[int]] = {"tasks": [], "results": []}

    class Weigh(SchedulerPlugin):
        def update_graph(self, scheduler: Any, *, tasks: list[Any], **_: Any) -> None:
            bytes_of["tasks"] += [len(dumps(scheduler.tasks[key].run_spec)) for key in tasks]

    gather = scheduler.handlers["gather"]

    async def weighed(*arguments: Any, **more: Any) -> Any:
        answer = await gather(*arguments, **more)
        bytes_of["results"] += [len(dumps(value)) for value in answer.get("data", {}).values()]
        return answer

    scheduler.handlers["gather"] = weighed
    scheduler.add_plugin(Weigh())
    return bytes_of


@pytest.mark.usefixtures("done")
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "prefect"])
def test_law_8_processes_change_nothing(folder: Path, tmp_path: Path, engine: str) -> None:
    command = [*by_prefect(COMMAND), "--engine", engine, "--jobs", "2", "--json", "report.json"]
    finished = kmpl(*command, cwd=tmp_path, env=behind_a_dead_proxy())
    assert finished.returncode == 0, finished.stderr
    one, two = found(folder / "report.json"), found(tmp_path / "report.json")
    assert two["settings"].pop("jobs") == 2
    assert one["settings"].pop("jobs") == 1
    assert one == two


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep as a Prefect flow, with a server of its own, behind a proxy that knows nothing of it."""
    folder = tmp_path_factory.mktemp("prefect")
    command = by_prefect(COMMAND)
    done = kmpl(*command, "--json", "report.json", cwd=folder, env=behind_a_dead_proxy())
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.usefixtures("done")
def test_law_8_prefect_gives_the_same_report(folder: Path, flow_run: Path) -> None:
    assert found(flow_run / "report.json") == found(folder / "report.json")


def test_tasks_are_named_by_ratio_seed_arm_and_round(flow_run: Path) -> None:
    with sqlite3.connect(flow_run / "mlruns" / "prefect" / "prefect.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM task_run WHERE state_type = 'COMPLETED'")]
        flows = database.execute("SELECT f.name, r.state_type FROM flow_run r JOIN flow f ON f.id = r.flow_id")
        assert flows.fetchall() == [("semi-supervised", "COMPLETED")]
        [artifact] = database.execute("SELECT data FROM artifact WHERE key = 'sweep-tiny'").fetchone()
    experiment = {
        "load", "pretrain", "labelled-only: evaluate", "labelled-only: report",
        *(f"pseudo-label, round {n}: {step}" for n in (1, 2) for step in ("pseudo-label", "retrain")),
        "pseudo-label: evaluate", "pseudo-label: report",
    }  # fmt: skip
    expected = {f"ratio {ratio}, seed 0: {what}" for ratio in (0.4, 0.2) for what in experiment}
    assert set(names) == expected | {"all: report"}
    assert len(names) == len(expected) + 1
    assert "| ratio" in artifact
    assert "/runs/" in artifact


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_prefects_own_server_is_stopped_even_by_a_kill(tmp_path: Path) -> None:
    command = [*by_prefect(COMMAND), "--pretrain.epochs", "500"]
    with start(*command, cwd=tmp_path, env=without_prefect()) as process:
        wait_for_line(process, "epoch 1/500")
        assert servers(tmp_path)
        process.kill()
    end = time.monotonic() + 30
    while servers(tmp_path) and time.monotonic() < end:
        time.sleep(0.5)
    assert not servers(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cancelled_flow_run_closes_all_runs_as_killed(tmp_path: Path, jobs: int) -> None:
    """Prefect's worker cancels by this signal to the flow run's process, and to none of those that it has started."""
    command = [*by_prefect(COMMAND), "--pretrain.epochs", "5000"]
    with start(*command, "--jobs", str(jobs), cwd=tmp_path, env=without_prefect()) as process:
        assert process.stdout is not None
        begun = (line for line in iter(process.stdout.readline, "") if "epoch 1/5000" in line)
        assert [next(begun) for _ in range(jobs)]
        process.terminate()
        process.communicate(timeout=60)
    assert Counter(run.info.status for run in runs(tmp_path)) == {"KILLED": 1 + jobs}


def servers(folder: Path) -> list[str]:
    """Return the processes that have the folder's Prefect database in their environment."""
    mine = f"PREFECT_HOME={folder / 'mlruns' / 'prefect'}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mine in (process / "environ").read_bytes() and b"kmpl" not in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found


def test_a_prefect_server_that_is_down_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)  # put back what a flow in this process changes
    monkeypatch.setenv("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = here(*by_prefect(COMMAND), cwd=tmp_path)
    assert done.returncode == 2
    assert "Prefect's server at http://127.0.0.1:9/api does not answer" in one_line(done.stderr)


@pytest.mark.slow
def test_a_prefect_server_that_dies_in_the_middle_is_said_in_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    outside = os.environ | {"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    serve = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    command = [*by_prefect(COMMAND), "--pretrain.epochs", "500"]
    with subprocess.Popen(serve, start_new_session=True, env=outside, **SILENT) as server:
        assert wait_for(f"http://127.0.0.1:{port}/api/health", 120)
        with start(*command, cwd=tmp_path, env=outside) as process:
            wait_for_line(process, "epoch 1/500")
            os.killpg(server.pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "is gone; start it again and run the same command again: all finished steps are kept" in one_line(errors)
    assert Counter(run.info.status for run in runs(tmp_path)) == {"KILLED": 2}


@pytest.mark.slow
def test_a_tracking_server_that_dies_in_the_middle_is_said_in_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    kept = tmp_path / "server"
    serve = ("ui", "--mlruns", str(kept), "--port", str(port))
    there = os.environ | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    with start(*serve, cwd=tmp_path, start_new_session=True, **SILENT) as server:
        assert wait_for(f"http://127.0.0.1:{port}/", 120)
        with start(*COMMAND, cwd=tmp_path, env=there) as process:
            wait_for_line(process, "epoch 1/2")
            os.killpg(server.pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"the runs at http://127.0.0.1:{port} can no longer be written" in one_line(errors)
    assert "run the same command again" in errors
    with start(*serve, cwd=tmp_path, start_new_session=True, **SILENT) as server:
        assert wait_for(f"http://127.0.0.1:{port}/", 120)
        again = kmpl(*COMMAND, cwd=tmp_path, env=there)
        os.killpg(server.pid, signal.SIGKILL)
    assert again.returncode == 0, again.stderr
    assert "ratio 0.4, seed 0: pretrain: found in the store" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ratios", ""], "ratios: "),
        (["--ratios", "0.1,0.1"], "ratios: 0.1 comes twice; give each once"),
        (["--ratios", "0.1,1.5"], "--ratios: Input should be less than 1, got '1.5'"),
        (["--ratios", "few"], "--ratios: give a number, got 'few'"),
        (["--ratios", "0.4,0.0001"], "ratio 0.0001, seed 0: ratio 0.0001 (3 labels of 30000 images): fewer labels"),
        (["--seeds", "1,1"], "seeds: 1 comes twice"),
        (["--seeds", "-1"], "--seeds: Input should be greater than or equal to 0"),
        (["--arms", "labelled-onl"], "did you mean 'labelled-only'?"),
        (["--trials", "-1"], "trials: Input should be greater than or equal to 0"),
        (["--jobs", "0"], "jobs: Input should be greater than or equal to 1"),
        (["--name", "a/b"], "name: String should match pattern"),
        (["--seed", "1"], "Did you mean --seeds?"),
        (["--engine", "airflow"], "engine"),
        (["--clustering.n-clusters", "40000"], "ratio 0.8, seed 0: --clustering.n-clusters 40000: the pool has"),
        (["--json", "nowhere/report.json"], "make it first"),
    ],
)
def test_bad_input_gets_one_line_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert said in refused("sweep", *DIRECT, *arguments)
    assert not (tmp_path / "mlruns").exists() or not runs(tmp_path)


def test_mlruns_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file, not a folder", encoding="utf-8")
    done = here(*COMMAND, cwd=tmp_path)
    assert done.returncode == 2
    assert "choose another folder with --mlruns" in one_line(done.stderr)


def test_a_tracking_server_that_is_down_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    done = here(*COMMAND, cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot open the runs at http://127.0.0.1:9" in one_line(done.stderr)
