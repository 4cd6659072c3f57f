"""``kmpl doctor`` says where everything is kept, whether it answers, and nothing that is secret."""

import itertools
import socket
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from object_store import Bucket

from kmpl.cli import main
from kmpl.jobs import doctor, doctor_workers
from kmpl.store.objects import Objects


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KMPL_SCRATCH", str(tmp_path / "scratch"))


@pytest.fixture
def dask() -> Iterator[str]:
    """A Dask cluster in this process: a scheduler and two workers."""
    distributed = pytest.importorskip("distributed")
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own machinery
        with distributed.LocalCluster(**workers, protocol="tcp") as cluster:
            yield cluster.scheduler_address


@pytest.fixture
def slow_clock() -> Iterator[str]:
    """A page whose server's clock goes two minutes slow; what its text says is not what is tested."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200 if self.path == "/version" else 404)
            self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(minutes=2), usegmt=True))
            self.end_headers()
            self.wfile.write(b"3.17.0")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_without_any_address_all_is_embedded_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "runs",
        "studies",
        "locks",
        "steps",
        "flows",
        "folder",
        "scratch",
        "here",
    ]
    assert sum("embedded: " in line for line in lines) == 5
    assert f"runs     {tmp_path}/mlruns/mlflow.db  embedded" in lines[0]
    assert "GB free" in lines[5]
    assert "torch 2." in lines[-1]
    assert not [*tmp_path.iterdir()]


def test_what_does_not_answer_is_a_line_each_and_no_secret_is_shown(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{bucket.secret}@{nobody}")
    monkeypatch.setenv("OPTUNA_STORAGE", f"postgresql://me:{bucket.secret}@{nobody}/studies")
    monkeypatch.setenv("KMPL_STORE", bucket.address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{nobody}")
    monkeypatch.setenv("PREFECT_API_URL", f"http://{nobody}/api")
    monkeypatch.setenv("KMPL_DASK", f"tcp://{nobody}")
    monkeypatch.setattr(doctor_workers, "PATIENCE_SECONDS", 0.3)
    assert main(["doctor"]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert [line.split()[1] for line in lines] == ["runs", "studies", "steps", "flows", "workers"]
    assert all(line.startswith("kmpl: ") and " at " in line for line in lines)
    assert not [line for line in out.splitlines() if "not answer" in line]  # once, and not twice
    assert f"kmpl: runs at http://me:***@{nobody}: does not answer (" in lines[0]
    assert f"kmpl: studies at postgresql://me:***@{nobody}/studies: " in lines[1]
    assert f"kmpl: steps at {bucket.address}: does not answer (Error performing PUT" in lines[2]
    assert "Traceback" not in err
    assert bucket.secret not in out + err


def test_what_answers_says_its_version_and_its_clock(
    bucket: Bucket, slow_clock: str, dask: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")  # as behind many a company's wall
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", slow_clock)
    monkeypatch.setenv("KMPL_STORE", bucket.address)
    monkeypatch.setenv("KMPL_DASK", dask)
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line.split()[0]: line for line in out.splitlines()}
    ahead = float(lines["runs"].partition(f"{slow_clock}  MLflow 3.17.0, clock ")[2].removesuffix(" s"))
    assert -122 < ahead < -119
    assert "objects can be written, read and removed; clock " in lines["steps"]
    assert Objects(bucket.address).sizes() == {}
    assert "Dask's scheduler with 2 workers" in lines["workers"]
    assert out.count("the same versions, clock +0.0 s") + out.count("the same versions, clock -0.0 s") == 2
    assert out.count(f"GB free in {Path.cwd()}/scratch") == 2


def test_a_worker_with_other_versions_and_one_that_reaches_nothing_are_named(
    bucket: Bucket, dask: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = doctor_workers.versions()
    said = itertools.chain([here | {"torch": "1.0"}], itertools.repeat(here))
    monkeypatch.setattr(doctor_workers, "versions", lambda: next(said))  # the first worker asks first
    monkeypatch.setenv("KMPL_DASK", dask)
    monkeypatch.setenv("KMPL_STORE", "s3://no-such-bucket/kmpl")
    assert main(["doctor"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum("other versions: torch 1.0 (here 2." in line for line in errors) == 1
    missing = "steps at s3://no-such-bucket/kmpl: the server answers, and has no such bucket; make it, or name another"
    assert [line for line in errors if "no-such-bucket" in line] == [f"kmpl: {missing}"]  # and not for each worker
    assert bucket.secret not in "".join(errors)


@pytest.mark.parametrize("address", ["s3://key:secret@bucket/kmpl", "nonsense"])
def test_an_address_that_is_none_is_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KMPL_STORE", address)
    assert main(["doctor"]) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert "give s3://BUCKET/PREFIX" in err
    assert "secret" not in out + err


def test_files_that_the_environment_names_are_asked_for_room_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setenv("KMPL_STORE", f"file://{tmp_path}/share")
    (tmp_path / "share").mkdir()
    assert main(["doctor", "--storage", "studies.journal"]) == 0
    runs, studies, _, steps, *_ = capsys.readouterr().out.splitlines()
    assert runs.startswith(f"runs     sqlite:///{tmp_path}/runs.db  ")
    assert studies.startswith("studies  studies.journal  ")
    assert steps.startswith(f"steps    {tmp_path}/share  ")
    assert all(line.endswith(" GB free") for line in (runs, studies, steps))
    assert [path.name for path in tmp_path.rglob("*")] == ["share"]


def test_what_only_a_worker_does_not_reach_is_named_with_the_worker(
    bucket: Bucket, dask: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = doctor.Finding(what="steps", address=bucket.address, said="does not answer (no route)", answers=False)
    monkeypatch.setattr(doctor_workers, "examine", lambda *_: [lost])
    monkeypatch.setenv("KMPL_DASK", dask)
    monkeypatch.setenv("KMPL_STORE", bucket.address)
    assert main(["doctor"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.endswith(f": steps at {bucket.address}: does not answer (no route)") for line in errors)
    assert all(line.startswith("kmpl: worker tcp://127.0.0.1:") for line in errors)


def test_a_shared_disk_that_is_not_mounted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KMPL_STORE", f"file://{tmp_path}/nonexistent")
    assert main(["doctor"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kmpl: steps at {tmp_path}/nonexistent: there is no such folder; mount the disk")


@pytest.mark.parametrize("explicit", [True, False])
def test_by_whose_locks_machines_agree_is_said(
    explicit: bool, postgres: str, slow_clock: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", slow_clock)
    monkeypatch.setenv("KMPL_LOCKS" if explicit else "OPTUNA_STORAGE", postgres)
    assert main(["doctor"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    said = "postgresql 1" if explicit else "in that database: machines agree by it"
    assert lines["locks"].startswith(f"locks    {postgres}  {said}")
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    monkeypatch.setenv("KMPL_LOCKS", "mysql://me:secret@host/db" if explicit else "")
    assert main(["doctor"]) == (2 if explicit else 0)
    out, err = capsys.readouterr()
    if explicit:
        assert err.startswith("kmpl: locks at mysql://me:***@host/db: only PostgreSQL's locks end with who held them")
    else:
        assert "do not see them, give KMPL_LOCKS=postgresql://…" in out


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["doctor", "--mlruns", "file/mlruns"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"kmpl: folder at {tmp_path}/file/mlruns: cannot be written (")


def test_another_server_in_the_scheduler_s_place_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dask's client itself waits for ever there: MLflow's port, or the dashboard's."""
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KMPL_DASK", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(doctor_workers, "PATIENCE_SECONDS", 0.3)
        assert main(["doctor"]) == 2
        server.shutdown()
    line = capsys.readouterr().err.splitlines()[-1]
    assert "the scheduler does not answer (" in line
