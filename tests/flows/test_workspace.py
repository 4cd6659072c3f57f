"""Where a flow run works, and whether it is alive."""

import subprocess
import sys
from pathlib import Path

from flows.workspace import flow_lock, is_alive
from kmpl.jobs.workspace import Workspace


def test_a_flow_run_is_present_while_it_works(tmp_path: Path) -> None:
    here = Workspace(tmp_path)
    assert not is_alive(here, "one")
    with flow_lock(here, "one"):
        assert is_alive(here, "one")
        assert not is_alive(here, "other")
    assert not is_alive(here, "one")
    assert not list((tmp_path / "locks").iterdir())


def test_a_flow_run_whose_process_was_killed_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from flows.workspace import flow_lock\nfrom kmpl.jobs.workspace import Workspace\n"
        "with flow_lock(Workspace(Path(sys.argv[1])), 'one'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "locks" / "flow-one.lock").exists()
    assert not is_alive(Workspace(tmp_path), "one")
