"""Addresses are read from the environment in one place, and shown without what is secret."""

import os
import re
from pathlib import Path

import pytest

from kmpl.runtime import addresses
from kmpl.runtime.addresses import Addresses, addresses_of_environment, shown

ROOT = Path(__file__).parents[2]
NAMES = ("TRACKING", "STUDIES", "STORE", "SCHEDULER", "SCRATCH", "SCRATCH_GB", "RUNS_FOLDER", "ENGINE")


def test_nothing_else_reads_them() -> None:
    variables = "|".join(getattr(addresses, name) for name in NAMES)
    read = re.compile(rf"environ(\.get\(|\[)[\s\"']*({variables}|{'|'.join(NAMES)})\b")
    files = [*(ROOT / "kmpl").rglob("*.py"), *(ROOT / "flows").glob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in files if read.search(path.read_text(encoding="utf-8"))}
    assert found == {"kmpl/runtime/addresses.py", "flows/engine.py"}  # the latter has just set what it reads
    assert len(files) > 200


def test_a_worker_works_with_the_addresses_of_who_gave_it_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://client:5000")
    monkeypatch.setenv("KMPL_STORE", "s3://bucket/kmpl")
    carried = addresses_of_environment()
    assert carried == Addresses(tracking="http://client:5000", store="s3://bucket/kmpl")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////worker/mlflow.db")
    monkeypatch.setenv("OPTUNA_STORAGE", "worker.journal")
    carried.use()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://client:5000"
    assert "OPTUNA_STORAGE" not in os.environ
    assert addresses_of_environment() == carried


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@host/db",
        "http://me:secret@host:5000/x?token=secret",
        "postgresql://host/db?password=secret",
        "https://account.blob.example/box?sig=secret",
    ],
)
def test_what_is_secret_is_not_shown(address: str) -> None:
    assert "secret" not in shown(address)
    assert "host" in shown(address) or "account" in shown(address)
