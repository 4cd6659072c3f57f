"""One and two labels a class: whose labels are given, and that both ways are measured alike."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from kmpl.benchmarks.accuracy import fewest, fewest_page
from kmpl.benchmarks.accuracy.fewest import Draw, relabelled
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import load
from kmpl.datasets.types import UNLABELLED
from kmpl.method import steps
from kmpl.method.evaluation import evaluate
from kmpl.method.results import Evaluation
from kmpl.method.step_inputs import EvaluateInput
from kmpl.method.step_interface import Steps
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store

pytestmark = pytest.mark.usefixtures("few_test_images")

BRIEF = {"epochs": 1, "images_per_epoch": 256}


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    change = {"threads": 1, "pool": {"size": 1_000, "image_size": 16}, "pretrain": BRIEF, "retrain": BRIEF}
    change |= {"pretext": {"rounds": 1, "training": BRIEF}, "clustering": {"n_clusters": 80}}
    return load("default", None, {**fewest.SETTINGS, **change, "pseudo_labels": {"rounds": 1}})


@pytest.fixture(scope="module")
def tested() -> set[bytes]:
    """The weights of the networks that the test was opened for."""
    return set()


@pytest.fixture(scope="module")
def draws(config: ExperimentConfig, tested: set[bytes], tmp_path_factory: pytest.TempPathFactory) -> list[Draw]:
    def noted(given: EvaluateInput) -> Evaluation:
        tested.add(b"".join(tensor.numpy().tobytes() for tensor in given.network.state_dict().values()))
        return evaluate(given)

    kept_steps = cached(Steps(evaluate=noted), Store(tmp_path_factory.mktemp("fewest")))
    return list(fewest.measure(config, (1_000, 1_001), kept_steps))


def test_both_ways_have_equally_many_labels_with_each_seed(draws: list[Draw], tested: set[bytes]) -> None:
    asked = [(seed, labels, way) for seed in (1_000, 1_001) for labels in (10, 20) for way in fewest.WAYS]
    assert [(d.seed, d.labels, d.way) for d in draws] == asked
    assert all(d.classes == 10 for d in draws if d.way == "at random"), "as many of each class"
    assert all(set(d.errors) == {"labelled-only", "pseudo-label"} for d in draws)
    assert len(tested) == 2 * len(draws), "each network of both arms is trained on labels of its own"


def test_the_labels_at_random_are_those_that_the_protocol_draws(config: ExperimentConfig) -> None:
    asked = config.model_copy(update={"labels": 20, "seed": 1_000})
    pool, truth = steps.load(asked.model_copy(update={"labels": 10}))
    drawn = fewest._at_random(asked, pool)
    assert np.bincount(truth[drawn]).tolist() == [2] * 10
    protocols, _ = steps.load(asked)
    given = np.concatenate([protocols.sources[protocols.labelled], protocols.validation_sources])
    assert sorted(pool.sources[drawn]) == sorted(given)


def test_a_pool_gets_other_labels_and_keeps_its_images(config: ExperimentConfig) -> None:
    pool, truth = steps.load(config.model_copy(update={"labels": 10, "seed": 1_000}))
    chosen = np.array([700, 3, 250])
    few, order = relabelled(pool, truth, chosen)
    assert sorted(order) == list(range(len(truth)))
    assert np.flatnonzero(few.labelled).tolist() == [0, 1, 2], "the labelled images stand first, as everywhere"
    assert few.labels[:3].tolist() == truth[[3, 250, 700]].tolist()
    assert set(few.labels[3:]) == {UNLABELLED}
    assert torch.equal(few.images, pool.images[torch.as_tensor(order)])
    assert few.sources.tolist() == pool.sources[order].tolist()
    assert few.views == tuple(pool.views[i] for i in order)
    assert len({pool.digest, few.digest, relabelled(pool, truth, chosen[:2])[0].digest}) == 3


def test_as_many_different_images_are_suggested_as_asked_for() -> None:
    known = np.random.default_rng(0).normal(size=(400, 8))
    assert len(set(fewest._suggested(known, 20, 0))) == 20


def test_results_found_in_the_store_equal_the_computed_ones(config: ExperimentConfig, tmp_path: Path) -> None:
    kept_steps = cached(Steps(evaluate=evaluate), Store(tmp_path))
    first, again = (list(fewest.measure(config, (1_000,), kept_steps)) for _ in range(2))
    assert [dataclasses.replace(d, seconds=0) for d in first] == [dataclasses.replace(d, seconds=0) for d in again]


def test_the_page_holds_every_draw_and_compares_seed_by_seed() -> None:
    draws = [
        Draw(
            labels=labels,
            way=way,
            seed=seed,
            classes=10 if way == "at random" else 8,
            errors={"labelled-only": 0.5, "pseudo-label": error},
            seconds=90.0,
        )
        for seed in (0, 1)
        for labels in (10, 20)
        for way, error in (("at random", 0.10 + 0.02 * seed), ("suggested", 0.03 + 0.01 * seed))
    ]
    page = fewest_page.markdown(draws, [{"seeds": "0, 1", "command": "kmpl benchmark fewest"}])
    assert "| 10 at random | 50.00 ± 0.00 | 11.00 ± 1.41 | 10.00, 12.00 | 10, 10 | 1.5 |" in page
    assert "| 20 suggested | 50.00 ± 0.00 | 3.50 ± 0.71 | 3.00, 4.00 | 8, 8 | 1.5 |" in page
    assert "- 10 labels: +7.50 points, 95 % [" in page
    assert "- seeds: 0, 1\n- command: `kmpl benchmark fewest`\n" in page
    assert isinstance(fewest_page.figure(draws), Figure)
