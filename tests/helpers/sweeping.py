"""Tiny sweeps as a person runs them: the settings, the command, and what is left behind."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from databases import copy_database
from filelock import FileLock
from forked import Forked
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from kmpl.cli import main
from kmpl.datasets import mnist

KMPL = str(Path(sys.prefix) / "bin" / "kmpl")
TOML = """
dataset = "folder:digits"
protocol = "literature"
threads = 1
[pool]
size = 300
image_size = 16
[pretrain]
epochs = 2
images_per_epoch = 300
batch_size = 64
ema = 0.0
[retrain]
epochs = 1
images_per_epoch = 300
batch_size = 64
ema = 0.0
[clustering]
n_clusters = 20
n_prototypes = 10
[pseudo_labels]
rounds = 2
threshold = 0.0
"""
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
SILENT: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
DIRECT = ("--engine", "direct")


def by_prefect(command: Sequence[str]) -> list[str]:
    """Return a command that runs directly as one that runs as a flow of Prefect's."""
    return [word for word in command if word not in DIRECT]


def digits() -> Path:
    """Return a folder of six hundred of MNIST's digits, a sub-folder a class; a fifth of them is its test."""
    folder = Path(os.environ["KMPL_CACHE"]) / "digits"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            data, draft = mnist.read(train=True), folder.with_name("draft of digits")
            for c in range(10):
                (draft / str(c)).mkdir(parents=True)
                for i in np.flatnonzero(data.labels.numpy() == c)[:60]:
                    Image.fromarray(data.images[i, 0].numpy()).save(draft / str(c) / f"{i}.png")
            draft.rename(folder)
    return folder


def prepare(cwd: Path) -> None:
    """Put the settings as ``tiny.toml`` and their images into a folder."""
    (cwd / "tiny.toml").write_text(TOML, encoding="utf-8")
    if not (cwd / "digits").exists():
        (cwd / "digits").symlink_to(digits())


def start(*arguments: str, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """Start kmpl in a folder that has the settings, their images and, for a sweep, an empty database."""
    _prepare_runs(arguments[0], cwd)
    return subprocess.Popen([KMPL, *arguments], cwd=cwd, text=True, **(PIPES | more))


def forked(*arguments: str, cwd: Path, **more: Any) -> Forked:
    """Do the same in a process that has imported kmpl already."""
    _prepare_runs(arguments[0], cwd)
    return Forked([KMPL, *arguments], cwd=cwd, **(PIPES | more))


def _prepare_runs(command: str, cwd: Path) -> None:
    prepare(cwd)
    if command in ("sweep", "tune") and not (cwd / "mlruns").exists():
        copy_database(cwd / "mlruns" / "mlflow.db")


def kmpl(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run kmpl to its end."""
    with start(*arguments, cwd=cwd, **more) as process:
        out, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


def here(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Do the same in this process, where all is imported already: starting one takes seconds."""
    prepare(cwd)
    out, errors = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["kmpl", *arguments])  # tables tell the command that made them
    with argv, contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main(list(arguments))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read a command's output until a line has a text."""
    assert process.stdout is not None
    assert any(text in line for line in iter(process.stdout.readline, "")), f"it ended without {text}"


def runs(folder: Path, **tags: str) -> list[Run]:
    """Return MLflow's runs in a folder that have these tags."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    text = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()], text, max_results=5_000))
