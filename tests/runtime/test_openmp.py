"""How threads wait for each other: what OpenMP itself says that it was told, at every entry."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kmpl.commands import up
from kmpl.runtime.openmp import WAITING

OURS = ("OMP_WAIT_POLICY", *WAITING)
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP, which says it in other words")


def python(source: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, in which nobody has said yet how threads wait."""
    clean = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, "-c", source, *arguments]
    done = subprocess.run(command, env=clean | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


SAID = """
import os, sys
import {module}
print(*(os.environ.get(name, "-") for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")))
print(*({{"torch", "sklearn", "prefect"}} & {{*sys.modules}}))
"""


@pytest.mark.parametrize("module", ["kmpl", "flows", "kmpl.cli"])
def test_the_waiting_policy_is_set_before_anything_loads_openmp(module: str) -> None:
    said, loaded = python(SAID.format(module=module)).stdout.splitlines()
    assert said.split() == ["-", *WAITING.values()]
    assert loaded == ""


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"GOMP_SPINCOUNT": "7"}, f"- 7 {WAITING['KMP_BLOCKTIME']}"),
        ({"KMP_BLOCKTIME": "200"}, f"- {WAITING['GOMP_SPINCOUNT']} 200"),
        ({"OMP_WAIT_POLICY": "active"}, "active - -"),
    ],
)
def test_the_users_own_variables_win(theirs: dict[str, str], said: str) -> None:
    assert python(SAID.format(module="kmpl"), **theirs).stdout.splitlines()[0] == said


def heard(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return what each OpenMP that was loaded says of its spinning: torch has one, scikit-learn another."""
    return set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr))


COMMAND = """
import sys
from kmpl.cli import main
status = main(["label", sys.argv[1], "--out", sys.argv[1] + ".csv"])
assert (status, "torch" in sys.modules) == (2, True)
"""
FLOWS = "import flows.semi_supervised, flows.label_images, sys; assert {'torch', 'sklearn'} <= {*sys.modules}"


@ON_LINUX
@pytest.mark.parametrize(
    "source", [pytest.param(COMMAND, id="command line"), pytest.param(FLOWS, id="flows", marks=pytest.mark.slow)]
)
def test_openmp_itself_reports_the_waiting_policy(source: str, tmp_path: Path) -> None:
    assert heard(python(source, str(tmp_path), OMP_DISPLAY_ENV="verbose")) == {WAITING["GOMP_SPINCOUNT"]}


SPAWNED = """
import multiprocessing, os
import kmpl
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.map(os.getenv, ["GOMP_SPINCOUNT", "KMP_BLOCKTIME"]))
"""


def test_started_processes_have_the_waiting_policy_too() -> None:
    assert python(SPAWNED).stdout.split() == [*WAITING.values()]


def test_the_processes_of_kmpl_up_have_the_waiting_policy_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    environment = up._environment(tmp_path, {"prefect": 1, "mlflow": 2, "optuna": 3})
    assert environment["GOMP_SPINCOUNT"] == "7"


TRAINED = """
import numpy as np, torch
from kmpl.config.experiment import Augmentation, Pretraining
from kmpl.models import registry as networks
from kmpl.runtime.devices import use_threads
from kmpl.store.store import content_digest
from kmpl.training import examples, loop
use_threads(2)
images = torch.randint(0, 256, (256, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
data, settings = examples.examples(images, np.arange(256) % 10), Pretraining(epochs=1, images_per_epoch=256)
network = networks.build("cnn", channels=1, n_classes=10, seed=0)
none = (images[:0], np.empty(0, int))
fit = loop.fit(network, data, settings, augmentation=Augmentation(), seed=0, validation=none)
print(content_digest(fit.network.state_dict()))
"""


@pytest.mark.slow
def test_the_bits_do_not_depend_on_how_threads_wait() -> None:
    ours, theirs = python(TRAINED), python(TRAINED, GOMP_SPINCOUNT="300000", KMP_BLOCKTIME="200")
    assert len(ours.stdout) > 60
    assert ours.stdout == theirs.stdout
