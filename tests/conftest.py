"""Shared by all tests: a cache of their own, and small but real experiments."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kmpl.config import ExperimentConfig
from kmpl.presets import load


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep tests away from the user's cache, and off the network: a download must fail, not happen."""
    cache = tmp_path_factory.mktemp("cache")
    closed = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMPL_CACHE", str(cache))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        for name, value in closed.items():
            patch.setenv(name, value)
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        yield cache


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bits depend on the number of threads; and tests that run side by side must not wait for each other's."""
    torch.set_num_threads(1)


TINY = {
    "protocol": "literature",
    "labels": 100,
    "threads": 1,
    "pool": {"size": 600},
    "pretrain": {"epochs": 3, "images_per_epoch": 800, "batch_size": 64, "ema": 0.0},
    "retrain": {"epochs": 2, "images_per_epoch": 800, "batch_size": 64, "ema": 0.0},
    "clustering": {"n_clusters": 40, "n_prototypes": 20},
    "pseudo_labels": {"rounds": 2, "threshold": 0.3},
}


@pytest.fixture(scope="session")
def tiny() -> ExperimentConfig:
    """Six hundred real digits, a hundred of them labelled, two seconds of training."""
    return load(change=TINY)
