"""Processes that live and die together."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

START = """
import os, signal, sys, time
from pathlib import Path
from kmpl.runtime.processes import Processes

with open("log", "w") as log:
    processes = Processes(log)
    for i, command in enumerate(sys.argv[2:]):
        processes.add_process(f"p{i}", command)
    processes.run(lambda: exec(sys.argv[1]))
print("ended well")
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"


def run(folder: Path, opening: str, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run the commands as Processes; honcho forks, which a test's own process with all its threads had better not."""
    command = [sys.executable, "-c", START, opening, *commands]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("dying", "words"),
    [
        ("echo 'ValueError: no room'; echo bye; exit 3", "ValueError: no room"),
        ("echo 'port 5 is taken'; echo ───; exit 1", "port 5 is taken"),
        ("exit 1", "none"),
    ],
)
def test_a_death_is_told_with_its_reason_and_stops_the_others(tmp_path: Path, dying: str, words: str) -> None:
    done = run(tmp_path, "time.sleep(0.5)", "echo $$ > pid; exec sleep 50", f"sleep 0.5; {dying}")
    assert done.stderr.splitlines()[-1] == f"kmpl.errors.UserError: p1 stopped; its last line: {words}"
    assert not alive(int((tmp_path / "pid").read_text(encoding="utf-8")))


def test_an_error_beside_the_processes_stops_them_and_is_raised(tmp_path: Path) -> None:
    done = run(tmp_path, "raise ValueError('no page')", "exec sleep 50")
    assert done.stderr.splitlines()[-1] == "ValueError: no page"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_a_good_end(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, f"os.kill(os.getpid(), signal.{name})", "exec sleep 50", "exec sleep 50")
    assert (done.returncode, done.stdout) == (0, "ended well\n")


def test_no_process_is_left_even_in_a_session_of_its_own_and_deaf_to_signals(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w'); time.sleep(50)"
    parent = f"""import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {deaf!r}], start_new_session=True)
open("pid", "w").write(str(child.pid))
child.wait()"""
    (tmp_path / "parent.py").write_text(parent, encoding="utf-8")
    wait = "while not Path('deaf').exists(): time.sleep(0.05)"
    done = run(tmp_path, f"exec({wait!r})\n{INTERRUPT}", f"exec {sys.executable} parent.py")
    assert done.returncode == 0, done.stderr
    pid, end = int((tmp_path / "pid").read_text(encoding="utf-8")), time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)
