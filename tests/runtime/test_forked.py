"""What tests fork is a process like any other, but for the modules that it has already."""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE

from forked import Forked, run_forked

ABOUT = """
import os, sys
from kmpl import cli
print(sys.argv, os.getcwd(), os.environ.get("KMPL_TEST"), os.getsid(0) == os.getpid(), "torch" in sys.modules)
print(os.getppid() == int(os.environ["KMPL_PARENT"]), "pytest" in sys.modules)
sys.exit(7)
"""


def test_words_folder_environment_and_exit_status_are_its_own(tmp_path: Path) -> None:
    env = os.environ | {"KMPL_TEST": "é", "KMPL_PARENT": str(os.getpid())}
    command = [sys.executable, "-c", f"import time; time.sleep(0.2){ABOUT}", "a word"]
    done = run_forked(command, cwd=tmp_path, env=env, start_new_session=True)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == [f"['-c', 'a word'] {tmp_path} é True True", "True False"]
    assert "KMPL_TEST" not in os.environ


def test_it_reads_its_input_and_signals_end_it_alone() -> None:
    script = "print(input(), flush=True)\nimport signal; signal.pause()"
    both = [Forked([sys.executable, "-c", script], stdin=PIPE, stdout=PIPE, stderr=PIPE) for _ in range(2)]
    for number, process in enumerate(both):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"line {number}\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"line {number}\n"
    first, second = both
    first.kill()
    assert first.wait(timeout=30) == -signal.SIGKILL
    assert second.poll() is None
    second.send_signal(signal.SIGINT)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    first.communicate()


def test_the_command_is_kmpls() -> None:
    done = run_forked(["kmpl", "run", "--arms", "labelled-onl"])
    assert done.returncode == 2
    assert "did you mean 'labelled-only'?" in done.stderr
