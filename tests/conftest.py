"""Shared by all tests: a cache of their own, and small but real experiments."""

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kmpl import experiment, report
from kmpl.comparison import AFTER, BEFORE
from kmpl.config import ExperimentConfig, Method, SweepConfig
from kmpl.evaluation import evaluate
from kmpl.experiment import Steps
from kmpl.presets import load, merge


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


@pytest.fixture(scope="session")
def sweep_settings(tiny: ExperimentConfig) -> SweepConfig:
    """Two labelled ratios × two seeds of the tiny experiment."""
    method = Method.model_validate(tiny.model_dump(include=set(Method.model_fields)))
    return SweepConfig(ratios=(0.2, 0.4), seeds=(0, 1), name="tiny", experiment=method)


@pytest.fixture(scope="session")
def summaries(tiny: ExperimentConfig, sweep_settings: SweepConfig) -> list[dict[str, Any]]:
    """What the experiments of that sweep found."""
    found = []
    for ratio, seed in itertools.product(sweep_settings.ratios, sweep_settings.seeds):
        config = merge(tiny, {"ratio": ratio, "seed": seed, "arms": sweep_settings.arms})
        outcome = experiment.run(config, Steps(evaluate=evaluate))
        found.append(report.summary(config, outcome, f"run-{ratio:g}-{seed}"))
    return found


@pytest.fixture(scope="session")
def invented(summaries: list[dict[str, Any]]) -> Callable[..., list[dict[str, Any]]]:
    """Return summaries of any sweep: a real one's, with accuracies drawn at random around a mean for each arm."""

    def invent(settings: SweepConfig, spread: float = 0.002) -> list[dict[str, Any]]:
        rng, made = np.random.default_rng(0), []
        for ratio, seed in itertools.product(settings.ratios, settings.seeds):
            summary = copy.deepcopy(summaries[0])
            labels = round(30_000 * ratio)
            summary |= {"seed": seed, "labelled": labels, "unlabelled": 30_000 - labels}
            summary["config"] |= {"ratio": ratio, "seed": seed, "arms": list(settings.arms)}
            kinds = summary.pop("arms")
            summary["arms"] = {}
            for place, arm in enumerate(settings.arms):
                numbers = copy.deepcopy(kinds[BEFORE if arm in (BEFORE, "oracle") else AFTER])
                accuracy = 0.93 + 0.05 * ratio + 0.003 * place + float(rng.normal(0, spread))
                summary["arms"][arm] = numbers | {"test_accuracy": accuracy, "views": {"clean": accuracy}}
            made.append(summary)
        return made

    return invent
