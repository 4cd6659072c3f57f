"""Features without labels: alike images come together, by K-means as the task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kmpl import checkpoints, metrics, pretext
from kmpl.clustering import kmeans
from kmpl.config import Learning
from kmpl.datasets import mnist
from kmpl.errors import UserError
from kmpl.label_config import Pretext
from kmpl.results import Images
from kmpl.steps import Watch
from kmpl.store import Store

CONFIG = Learning(threads=1)
DEEP = Learning.model_validate({"threads": 1, "clustering": {"maps": 0}})  # without the maps' components: seconds less
SHORT = Pretext.model_validate(
    {"n_clusters": 20, "rounds": 1, "training": {"epochs": 1, "images_per_epoch": 256, "batch_size": 64}}
)


@pytest.fixture(scope="module")
def digits() -> Images:
    data = mnist.read(train=True)
    return Images(data.images[:800], data.labels[:800], data.classes)


def purity(features: np.ndarray, digits: Images) -> float:
    return metrics.purity(kmeans(features, 20, seed=0).assignment, digits.labels.numpy())


def test_training_on_clusters_brings_together_what_is_alike(digits: Images) -> None:
    longer = Pretext.model_validate({"n_clusters": 40, "rounds": 1, "training": {"epochs": 2, "batch_size": 64}})
    learnt = pretext.features(CONFIG, longer, digits.images, 0, Watch())
    before, after = purity(pretext.pixels(digits.images), digits), purity(learnt, digits)
    assert after > before + 0.05, (before, after)


def test_features_are_of_length_one_and_the_same_for_the_same_seed(digits: Images) -> None:
    some = digits.images[:200]
    one, same, other = (pretext.features(CONFIG, SHORT, some, seed, Watch()) for seed in (0, 0, 1))
    assert one.shape == (200, 128 + 64)
    assert np.linalg.norm(one, axis=1) == pytest.approx(np.ones(200), abs=1e-4)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_no_round_leaves_the_pixels(digits: Images) -> None:
    pixels = pretext.features(CONFIG, Pretext(rounds=0), digits.images, 0, Watch())
    assert np.array_equal(pixels, pretext.pixels(digits.images))
    assert pixels.shape == (800, 64)


def test_large_colour_images_do_not_need_the_memory_of_their_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 256, 256), generator=generator, dtype=torch.uint8)
    assert pretext.pixels(images).shape == (30, 30)  # a covariance of all pixels would be 300 GB


def test_few_images_make_few_clusters_and_one_image_none() -> None:
    few = mnist.read(train=True).images[:6]
    assert len(pretext.features(DEEP, SHORT, few, 0, Watch())) == 6
    with pytest.raises(UserError, match="1 image cannot be clustered"):
        pretext.features(DEEP, SHORT, few[:1], 0, Watch())


def test_they_are_learnt_once(digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some, found, store = digits.images[:100], list[str](), Store(tmp_path)
    watch = Watch(found=found.append)
    first = checkpoints.features_without_labels(store, DEEP, SHORT, some, 0, watch)
    monkeypatch.setattr(pretext, "features", None)  # would fail if it were called
    again = checkpoints.features_without_labels(store, DEEP, SHORT, some, 0, watch)
    assert np.array_equal(first, again)
    assert found == ["without labels"]
    for change in ({"seed": 1}, {"settings": Pretext(rounds=2)}, {"images": some[:99]}):
        given: dict[str, Any] = {"settings": SHORT, "images": some, "seed": 0} | change
        with pytest.raises(TypeError, match="not callable"):
            checkpoints.features_without_labels(store, DEEP, watch=watch, **given)
