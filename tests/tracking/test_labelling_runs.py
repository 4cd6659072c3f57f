"""The run of a labelling in MLflow when its process is killed: the next one closes it, and no other."""

import csv
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import copy_database
from forked import Forked
from mlflow.entities import Run
from PIL import Image
from sklearn.datasets import load_digits

from kmpl import tracking
from kmpl.runtime.locks import FileLocks
from kmpl.tracking.client import search
from kmpl.tracking.labelling_runs import labelling_run

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # MLflow, of its own types


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty noughts and ones, ten of them labelled."""
    root = tmp_path / "digits"
    root.mkdir()
    images, labels = load_digits(n_class=2, return_X_y=True)
    rows = [("file", "label")]
    for i, (pixels, label) in enumerate(zip(images[:60], labels[:60], strict=True)):
        Image.fromarray((pixels.reshape(8, 8) * 15).astype(np.uint8)).save(root / f"{i:02}.png")
        rows += [(f"{i:02}.png", f"no. {label}")] if i < 10 else []
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@contextmanager
def at_work(folder: Path, mlruns: Path) -> Iterator[Forked]:
    """Give ``kmpl label`` as it trains, for hours if it is let."""
    words = ["label", str(folder), "--out", str(folder.parent / "out.csv"), "--mlruns", str(mlruns), "--threads=1"]
    words += ["--pretrain.epochs=1000", "--pretrain.images-per-epoch=64", "--pretrain.batch-size=32"]
    with Forked([sys.executable, "-m", "kmpl.cli", *words], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("pretrain: epoch")
            yield process
        finally:
            process.kill()


def test_a_killed_labelling_is_closed_by_the_next_one_and_one_that_lives_is_not(folder: Path, tmp_path: Path) -> None:
    mlruns = tmp_path / "mlruns"
    copy_database(mlruns / "mlflow.db")
    about: dict[str, Any] = {"name": "label", "folder": folder, "locks": FileLocks(mlruns / "locks")}

    def states() -> dict[str, Run]:
        return {run.info.run_id: run for run in search(tracking.open_store(mlruns), kind="labelling")}

    with at_work(folder, mlruns) as process:
        ((killed, run),) = states().items()
        assert run.info.status == "RUNNING"
        with labelling_run(tracking.open_store(mlruns), **about) as beside:
            assert states()[killed].info.status == "RUNNING", "it is at work"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert states()[killed].info.status == "RUNNING", "nobody has seen it yet"
    with labelling_run(tracking.open_store(mlruns), **about) as after:
        pass
    found = states()
    assert {name: run.info.status for name, run in found.items()} == {
        killed: "KILLED", beside.id: "FINISHED", after.id: "FINISHED",
    }  # fmt: skip
    assert found[killed].data.tags["successor"] == after.id
    assert found[after.id].data.tags["predecessor"] == killed
    assert "predecessor" not in found[beside.id].data.tags
    assert list((mlruns / "locks").glob("labelling-*")) == []
    assert not (tmp_path / "out.csv").exists()
