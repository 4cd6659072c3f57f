"""``kmpl up``: what it refuses before anything starts, and the whole of it once."""

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from honcho.environ import parse_procfile
from rich.console import Console
from sweeping import kmpl, runs
from terminal import behind_a_dead_proxy, one_line, without_prefect

from kmpl.commands import up, up_prefect
from kmpl.errors import UserError
from kmpl.runtime.servers import HOST, answers, free_port

BIN = Path(sys.prefix) / "bin"
ROOT = Path(__file__).parents[2]
TINY = {
    "protocol": "literature",
    "threads": 1,
    "pool": {"size": 600},
    "pretrain": {"epochs": 1, "images_per_epoch": 600},
    "retrain": {"epochs": 1, "images_per_epoch": 600},
    "clustering": {"n_clusters": 40},
}


def ports(**chosen: int | str) -> list[str]:
    """Return the flags of three ports: those chosen, else free ones."""
    free: set[int] = set()
    while len(free) < 3:
        free.add(free_port())
    given = dict(zip(("prefect", "mlflow", "optuna"), free, strict=True)) | chosen
    return [word for name, port in given.items() for word in (f"--{name}-port", str(port))]


@pytest.mark.parametrize("name", ["prefect", "mlflow", "optuna"])
def test_a_port_in_use_is_named_with_its_flag_before_anything_starts(
    tmp_path: Path, name: str, refused: Callable[..., str]
) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("up", *ports(**{name: port}))
    assert f"port {port} on {HOST} cannot be used" in line
    assert f"--{name}-port" in line
    assert not list(tmp_path.iterdir())


def test_equal_ports_are_refused(tmp_path: Path) -> None:
    port = free_port()
    command = [str(BIN / "kmpl"), "up", *map(str, ports(mlflow=port, optuna=port))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    line = one_line(done.stderr)
    assert f"port {port} cannot serve two: give --mlflow-port and --optuna-port different ports" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_an_invalid_port_is_refused(tmp_path: Path, port: str, refused: Callable[..., str]) -> None:
    line = refused("up", *ports(prefect=port))
    assert "--prefect-port" in line
    assert port in line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "file").touch()
    assert "choose another folder with --mlruns" in refused("up", *ports(), "--mlruns", "file/mlruns")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_the_project_around_it_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "ROOT", tmp_path)
    with pytest.raises(UserError, match="has no Procfile: run it from a clone of kmpl"):
        up.up(mlruns=tmp_path / "mlruns")


def test_the_procfile_lists_the_four_processes_and_binds_them_to_this_machine() -> None:
    processes = parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes
    assert list(processes) == ["prefect", "worker", "mlflow", "optuna"]
    for name in ("prefect", "mlflow", "optuna"):
        assert f"--host {HOST} --port" in processes[name]
    assert f"--pool {up_prefect.POOL} " in processes["worker"]


def test_the_next_command_works_in_any_folder_and_in_a_shell_that_knows_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up.proxies, "added", {})
    command = up._next_command(4201, up.QUICK)
    assert command.endswith("prefect deployment run semi-supervised/quick")
    asked = command.replace(f"deployment run {up.QUICK}", "config view")
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COLUMNS": "200"}
    done = subprocess.run(["sh", "-c", asked], cwd=tmp_path, env=bare, capture_output=True, text=True, check=True)
    assert f"PREFECT_API_URL='http://{HOST}:4201/api'" in done.stdout


def test_long_addresses_of_pages_stay_in_one_line() -> None:
    console = Console(file=io.StringIO(), width=60, highlight=False)
    page = f"http://{HOST}:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=kmpl"
    up._print_pages(console, {"mlflow": page}, {"mlflow": 9.4})
    assert console.file.getvalue() == f"  MLflow: results   {page}  (after 9 s)\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1/api"])
def test_prefect_reads_in_the_projects_folder_where_the_server_is_and_the_environment_wins(
    tmp_path: Path, url: str | None
) -> None:
    ask = "from prefect.settings import get_current_settings as s; print(s().api.url, s().server.analytics_enabled)"
    environment = without_prefect() | {"PREFECT_HOME": str(tmp_path)} | ({"PREFECT_API_URL": url} if url else {})
    said = subprocess.check_output([sys.executable, "-c", ask], cwd=ROOT, env=environment, text=True)
    assert said.split() == [url or f"http://{HOST}:{up.PREFECT_PORT}/api", "False"]


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Start `kmpl up` on free ports, its output in a file; give the process and the three addresses."""
    flags = ports()
    addresses = {name[2:-5]: f"http://{HOST}:{port}" for name, port in zip(flags[::2], flags[1::2], strict=True)}
    with (folder / "out").open("w", encoding="utf-8") as out:
        command = [str(BIN / "kmpl"), "up", *flags, "--mlruns", str(folder / "mlruns")]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env=behind_a_dead_proxy())
    try:
        yield process, addresses
    finally:
        process.terminate()
        process.wait(60)


def descendants(pid: int) -> set[int]:
    listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
    rows = [(int(row.split()[0]), int(row.split()[1])) for row in listing]
    found = [pid]
    for parent in found:  # grows as it goes
        found += [child for child, its_parent in rows if its_parent == parent]
    return set(found[1:])


def all_gone(pids: set[int]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def wait_until_said(text: str, out: Path, process: subprocess.Popen[bytes], seconds: float = 240) -> str:
    end = time.monotonic() + seconds
    while text not in out.read_text(encoding="utf-8"):
        assert process.poll() is None, out.read_text(encoding="utf-8")
        assert time.monotonic() < end, out.read_text(encoding="utf-8")
        time.sleep(0.1)
    return out.read_text(encoding="utf-8")


def wait_until(true: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def flow_run(server: str, number: str) -> dict[str, Any]:
    answer = httpx.get(f"{server}/api/flow_runs/{number}", trust_env=False)
    return dict(answer.raise_for_status().json())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_command_starts_everything_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    with started(tmp_path) as (process, addresses):
        said = wait_until_said("Ctrl-C stops everything", tmp_path / "out", process)
        for address in addresses.values():
            assert address in said
            assert answers(address)
        terminal = f"no_proxy={HOST} PREFECT_API_URL={addresses['prefect']}/api {BIN / 'prefect'}"
        assert f"{terminal} deployment run semi-supervised/quick" in said
        environment = os.environ | {"PREFECT_API_URL": f"{addresses['prefect']}/api", "COLUMNS": "200"}
        listed = subprocess.check_output(
            [BIN / "prefect", "deployment", "ls"], env=environment, cwd=tmp_path, text=True
        )
        for name in ("ratio-sweep", "quick", "full"):
            assert f"semi-supervised/{name}" in listed
        assert "label-images/folder" in listed
        tiny = ["--param", "ratios=[0.1]", "--param", "trials=1", "--param", f"experiment={json.dumps(TINY)}"]
        run = [str(BIN / "prefect"), "deployment", "run", "semi-supervised/quick", *tiny, "--watch"]
        subprocess.run(run, env=environment, cwd=tmp_path, check=True, timeout=240)
        again = subprocess.run(
            [BIN / "kmpl", "up", *ports(), "--mlruns", "mlruns"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (again.returncode, "runs already on mlruns" in again.stderr) == (2, True), again.stderr
        running = descendants(process.pid)
        assert len(running) >= 8  # four servers, each with honcho's reader
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert all_gone(running)
    assert not any(map(answers, addresses.values()))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_moved_store_goes_on_at_its_new_place_and_a_run_cancelled_there_is_no_failure(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    done = kmpl("sweep", "--name", "first", "--config", "tiny.toml", "--ratios", "0.1", cwd=before)
    assert done.returncode == 0, done.stderr
    before.rename(after)
    with started(after) as (process, addresses):
        wait_until_said("Ctrl-C stops everything", after / "out", process)
        environment = os.environ | {"PREFECT_API_URL": f"{addresses['prefect']}/api", "COLUMNS": "200"}
        prefect = partial(subprocess.check_output, env=environment, cwd=after, text=True)
        endless = TINY | {"pretrain": {"epochs": 10_000, "images_per_epoch": 600}}
        parameters = {"name": "second", "ratios": [0.1], "trials": 0, "experiment": endless}
        words = [word for name, value in parameters.items() for word in ("--param", f"{name}={json.dumps(value)}")]
        said = prefect([BIN / "prefect", "deployment", "run", "semi-supervised/quick", *words])
        [number] = re.findall(r"UUID: ([0-9a-f-]{36})", said)
        wait_until(lambda: [run.info.status for run in runs(after, sweep="second", kind="experiment")] == ["RUNNING"])
        prefect([BIN / "prefect", "flow-run", "cancel", number])  # the page's button sends the same
        wait_until(lambda: flow_run(addresses["prefect"], number)["state_type"] == "CANCELLED")
    assert {run.info.status for run in runs(after, sweep="second")} == {"KILLED"}
    assert {run.info.status for run in runs(after, sweep="first")} == {"FINISHED"}
    assert {urlsplit(run.info.artifact_uri).path.startswith(f"{after}/") for run in runs(after)} == {True}
    report = kmpl("report", "first", "--out", "report.html", cwd=after)
    assert report.returncode == 0, report.stderr
    assert not before.exists()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 3, 8])
def test_a_stop_while_starting_leaves_nobody(tmp_path: Path, seconds: float) -> None:
    with started(tmp_path) as (process, _):
        log, end = tmp_path / "mlruns" / "logs" / "up.log", time.monotonic() + 120
        while not log.exists() and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(seconds)
        running = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "out").read_text(encoding="utf-8")
    assert all_gone(running)


@pytest.mark.slow
def test_a_server_that_dies_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "prefect").touch()  # where Prefect wants a folder
    with started(tmp_path) as (process, _):
        assert process.wait(120) == 2
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("kmpl: prefect stopped; its last line: ")
    assert "unable to open database file" in lines[1]
    assert lines[1].endswith("mlruns/logs/up.log); everything is stopped")
