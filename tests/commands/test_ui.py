"""``kmpl ui``: the address is printed once it answers, not before."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from kmpl.cli import main
from kmpl.runtime.servers import HOST, free_port

ANNOUNCE = [sys.executable, "-m", "kmpl.runtime.announce"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_is_announced_when_it_answers_and_not_before() -> None:
    port = free_port()
    url = f"http://{HOST}:{port}"
    with subprocess.Popen([*ANNOUNCE, url, "it answers", str(os.getpid())], stdout=subprocess.PIPE, text=True) as waits:
        assert waits.stdout is not None
        said: list[tuple[str, float]] = []
        reader = threading.Thread(target=lambda: said.append((waits.stdout.readline(), time.monotonic())))  # type: ignore[union-attr]
        reader.start()
        time.sleep(1)
        assert waits.poll() is None
        begin = time.monotonic()
        with HTTPServer((HOST, port), Page) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            assert waits.wait(30) == 0
            reader.join()
            server.shutdown()
    assert said[0][0] == "it answers\n"
    assert said[0][1] > begin


def test_the_announcing_process_ends_with_the_server() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run([*ANNOUNCE, f"http://{HOST}:9", "never", str(gone.pid)], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, b"")


def test_ui_leaves_the_address_of_all_runs_to_who_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **_: started.append(words))
    monkeypatch.setattr(os, "execve", lambda _, words, __: started.append(words))
    port = free_port()
    assert main(["ui", "--mlruns", str(tmp_path), "--port", str(port)]) == 0
    waits, server = started
    runs = f"http://{HOST}:{port}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=kmpl"
    assert waits[3:] == [f"http://{HOST}:{port}", f"MLflow: {runs}  (Ctrl-C stops it)", str(os.getpid())]
    assert server[1:4] == ["-m", "mlflow", "server"]
    assert server[server.index("--port") + 1] == str(port)
    assert "http" not in capsys.readouterr().out
