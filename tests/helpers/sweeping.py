"""Tiny sweeps as a person runs them: the settings, the command, and what is left behind."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from mlflow import MlflowClient
from mlflow.entities import Run

from kmpl.cli import main

KMPL = str(Path(sys.prefix) / "bin" / "kmpl")
TOML = """
protocol = "literature"
threads = 1
[pool]
size = 300
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
SILENT: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def start(*arguments: str, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """Start kmpl in a folder that has the settings as ``tiny.toml``."""
    (cwd / "tiny.toml").write_text(TOML, encoding="utf-8")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([KMPL, *arguments], cwd=cwd, **(pipes | more))


def kmpl(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run kmpl to its end."""
    with start(*arguments, cwd=cwd, **more) as process:
        out, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


def here(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Do the same in this process, where all is imported already: starting one takes seconds."""
    (cwd / "tiny.toml").write_text(TOML, encoding="utf-8")
    out, errors = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["kmpl", *arguments])  # tables tell the command that made them
    with argv, contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main(list(arguments))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


def behind_a_dead_proxy() -> dict[str, str]:
    """Return an environment without a word of Prefect, in which nothing is reached through the proxies that it names:
    a local server is reached by who knows that it needs none."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_") and not n.lower().endswith("_proxy")}
    dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    return kept | dead | {"ALL_PROXY": "socks5://127.0.0.1:9"}


def runs(folder: Path, **tags: str) -> list[Run]:
    """Return MLflow's runs in a folder that have these tags."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    text = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()], text, max_results=5_000))
