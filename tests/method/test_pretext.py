"""Features without labels: alike images come together, by K-means as the task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.config.presets import merge
from kmpl.datasets import mnist
from kmpl.datasets.types import Images
from kmpl.errors import UserError
from kmpl.method import experiment, pretext, steps
from kmpl.method.kmeans import kmeans
from kmpl.method.results import Voted
from kmpl.method.step_inputs import RoundInput, StepInput
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.store import cached_steps
from kmpl.store.store import Store
from kmpl.training import metrics
from kmpl.training.watch import Watch

BRIEF = {"n_clusters": 20, "rounds": 1, "training": {"epochs": 1, "images_per_epoch": 256, "batch_size": 64}}
SHORT = Learning.model_validate({"threads": 1, "pretext": BRIEF})
DEEP = merge(SHORT, {"clustering": {"maps": 0}})  # without the maps' components: seconds less


@pytest.fixture(scope="module")
def digits() -> Images:
    data = mnist.read(train=True)
    return Images(images=data.images[:800], labels=data.labels[:800], classes=data.classes)


def purity(features: np.ndarray, digits: Images) -> float:
    return metrics.purity(kmeans(features, 20, seed=0).assignment, digits.labels.numpy())


def test_training_on_clusters_brings_together_what_is_alike(digits: Images) -> None:
    longer = {"n_clusters": 40, "rounds": 1, "training": {"epochs": 2, "images_per_epoch": 0, "batch_size": 64}}
    learnt = pretext.features(merge(SHORT, {"pretext": longer}), digits.images, seed=0, watch=Watch())
    before, after = purity(pretext.pixels(digits.images), digits), purity(learnt, digits)
    assert after > before + 0.05, (before, after)


def test_features_are_of_length_one_and_the_same_for_the_same_seed(digits: Images) -> None:
    some = digits.images[:200]
    one, same, other = (pretext.features(SHORT, some, seed=seed, watch=Watch()) for seed in (0, 0, 1))
    assert one.shape == (200, 128 + 64)
    assert np.linalg.norm(one, axis=1) == pytest.approx(np.ones(200), abs=1e-4)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_no_round_leaves_the_pixels(digits: Images) -> None:
    pixels = pretext.features(merge(SHORT, {"pretext": {"rounds": 0}}), digits.images, seed=0, watch=Watch())
    assert np.array_equal(pixels, pretext.pixels(digits.images))
    assert pixels.shape == (800, 64)


def test_large_colour_images_do_not_need_the_memory_of_their_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 256, 256), generator=generator, dtype=torch.uint8)
    assert pretext.pixels(images).shape == (30, 30)  # a covariance of all pixels would be 300 GB


def test_few_images_make_few_clusters_and_one_image_none() -> None:
    few = mnist.read(train=True).images[:6]
    assert len(pretext.features(DEEP, few, seed=0, watch=Watch())) == 6
    with pytest.raises(UserError, match="1 image cannot be clustered"):
        pretext.features(DEEP, few[:1], seed=0, watch=Watch())


def test_they_are_learnt_once(digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some, found, store = digits.images[:100], list[str](), Store(tmp_path)
    watch = Watch(found=found.append)
    first = cached_steps.features_without_labels(store, DEEP, some, seed=0, watch=watch)
    monkeypatch.setattr(pretext, "features", None)  # would fail if it were called
    again = cached_steps.features_without_labels(store, DEEP, some, seed=0, watch=watch)
    assert np.array_equal(first, again)
    assert found == ["without labels"]
    for change in ({"seed": 1}, {"config": merge(DEEP, {"pretext": {"rounds": 2}})}, {"images": some[:99]}):
        given: dict[str, Any] = {"config": DEEP, "images": some, "seed": 0} | change
        with pytest.raises(TypeError, match="not callable"):
            cached_steps.features_without_labels(store, watch=watch, **given)


FEW = {
    "labels": 20,
    "pool": {"validation": 0.5, "image_size": 16},
    "pretext": BRIEF,
    "pretrain": {"epochs": 1, "images_per_epoch": 200},
    "retrain": {"epochs": 1, "images_per_epoch": 200},
    "pseudo_labels": {"rounds": 2, "threshold": 0.0, "graph_threshold": 0.0},
}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"pretext": {"up_to": 0}}, False),
        ({"pretext": {"up_to": 1}}, True),
        ({"labels": 40, "pretext": {"up_to": 1}}, False),
        ({"pseudo_labels": {"strategy": "consensus"}}, False),
        ({"clustering": {"n_clusters": 5}}, False),
    ],
)
def test_the_first_round_clusters_them_where_labels_are_few(
    tiny: ExperimentConfig, change: dict[str, Any], wanted: bool
) -> None:
    config = merge(merge(tiny, FEW), change)
    pool, truth = steps.load(config)
    seen: list[np.ndarray | None] = []

    def vote(first: RoundInput) -> Voted:
        seen.append(first.features)
        return steps.pseudo_label(first)

    handed = Steps(evaluate=no_test_set("rounds have no test"), pseudo_label=vote)
    given = StepInput(config=config, pool=pool)
    start = steps.pretrain(given)
    _, rounds, _ = experiment.run_rounds(given, truth=truth, start=start, steps=handed)
    assert [known is not None for known in seen][:2] == [wanted, False][: len(seen)]
    own = pretext.of_pool(StepInput(config=config, pool=pool))
    assert np.array_equal(rounds[0].features, own) is wanted


def test_pool_features_are_learnt_once_and_steps_that_are_kept_say_the_same(
    tiny: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = merge(tiny, FEW)
    pool, truth = steps.load(config)
    given = StepInput(config=config, pool=pool)
    start = steps.pretrain(given)
    plain = Steps(evaluate=no_test_set("rounds have no test"))
    results = [experiment.run_rounds(given, truth=truth, start=start, steps=plain)]
    for _ in range(2):
        told = cached_steps.cached(plain, Store(tmp_path))
        results.append(experiment.run_rounds(given, truth=truth, start=start, steps=told))
        monkeypatch.setattr(pretext, "features", None)  # would fail if it were called
    for _, rounds, _ in results[1:]:
        for mine, theirs in zip(rounds, results[0][1], strict=True):
            assert np.array_equal(mine.pseudo_labels.confidence, theirs.pseudo_labels.confidence)
            assert np.array_equal(mine.features, theirs.features)
