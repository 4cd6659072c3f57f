"""Where a flow run works, and whether it is alive."""

import subprocess
import sys
from pathlib import Path

from flows.workspace import is_present, present
from kmpl.jobs.workspace import Workspace


def test_a_flow_run_is_present_while_it_works(tmp_path: Path) -> None:
    here = Workspace(tmp_path)
    assert not is_present(here, "one")
    with present(here, "one"):
        assert is_present(here, "one")
        assert not is_present(here, "other")
    assert not is_present(here, "one")
    assert not list((tmp_path / "locks").iterdir())


def test_a_flow_run_whose_process_was_killed_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from flows.workspace import present\nfrom kmpl.jobs.workspace import Workspace\n"
        "with present(Workspace(Path(sys.argv[1])), 'one'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "locks" / "flow-one.lock").exists()
    assert not is_present(Workspace(tmp_path), "one")
