"""The pool: balanced, nested, repeatable, and without anything that the method must not see."""

from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from kmpl.config.presets import load
from kmpl.datasets import registry
from kmpl.datasets.pool import build_pool, labelled_budget, show, split
from kmpl.datasets.types import UNLABELLED, Images, Pool
from kmpl.errors import UserError

SIZE = 600
BUDGETS = (60, 240, 480)  # the notebook's ratios 0.1, 0.4 and 0.8


@pytest.fixture(scope="module")
def mnist() -> Images:
    return registry.read("MNIST", train=True)


@pytest.fixture(scope="module")
def digits(mnist: Images) -> np.ndarray:
    return mnist.labels.numpy()


def build(**change: Any) -> tuple[Pool, np.ndarray]:
    """Return a small pool of the notebook's protocol with some settings changed."""
    return build_pool(load(change={"protocol": "notebook", "pool": {"size": SIZE}, "ratio": 0.1} | change))


def counts(labels: np.ndarray) -> list[int]:
    return np.bincount(labels, minlength=10).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("budget", [*BUDGETS, 57, 333])
def test_every_part_is_class_balanced_and_together_they_are_the_pool(
    digits: np.ndarray, budget: int, seed: int
) -> None:
    labelled, validation, unlabelled = split(digits, size=SIZE, budget=budget, validation=0.1, seed=seed)
    together = np.concatenate([labelled, validation, unlabelled])
    assert len(np.unique(together)) == len(together) == SIZE
    assert len(labelled) + len(validation) == budget
    for part in (labelled, validation, np.concatenate([labelled, validation]), unlabelled, together):
        assert max(counts(digits[part])) - min(counts(digits[part])) <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_a_smaller_labelled_set_and_its_validation_lie_inside_a_larger(digits: np.ndarray, seed: int) -> None:
    parts = [split(digits, size=SIZE, budget=budget, validation=0.1, seed=seed) for budget in BUDGETS]
    for (labelled, validation, unlabelled), (more, more_validation, fewer) in pairwise(parts):
        assert set(labelled) < set(more)
        assert set(validation) < set(more_validation)
        assert set(unlabelled) > set(fewer)
        assert set(np.concatenate([labelled, unlabelled])) > set(fewer)


@pytest.mark.parametrize("budget", [20, 57, 60, 100, 240, 480])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.25])
def test_validation_is_the_share_asked_at_least_one_per_class_and_never_larger_than_the_labelled_part(
    digits: np.ndarray, budget: int, share: float
) -> None:
    labelled, validation, _ = split(digits, size=SIZE, budget=budget, validation=share, seed=0)
    assert min(counts(digits[validation])) >= 1
    assert len(validation) <= len(labelled)
    assert share * budget - 10 <= len(validation) <= share * budget + 10, "at most one image off per class"
    assert abs(len(validation) - share * budget) < 1e-9 or budget / 10 % (1 / share), "exact where it can be"


def test_a_class_with_a_single_label_gives_none_for_validation(digits: np.ndarray) -> None:
    labelled, validation, _ = split(digits, size=SIZE, budget=14, validation=0.1, seed=0)
    assert counts(digits[labelled]) == [1] * 10
    assert len(validation) == 4
    twice = counts(digits[np.concatenate([labelled, validation])])
    assert [n - 1 for n in twice] == counts(digits[validation])


def test_seeds_draw_different_parts_and_one_seed_the_same(digits: np.ndarray) -> None:
    first, again, other = (split(digits, size=SIZE, budget=60, validation=0.1, seed=seed) for seed in (0, 0, 1))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert len(np.intersect1d(one, different)) < len(one) / 2


def test_a_whole_set_keeps_its_own_balance_and_only_its_labels_are_balanced(digits: np.ndarray) -> None:
    labelled, validation, unlabelled = split(digits, size=len(digits), budget=100, validation=0.1, seed=0)
    together = np.sort(np.concatenate([labelled, validation, unlabelled]))
    np.testing.assert_array_equal(together, np.arange(60_000))
    assert counts(digits[labelled]) == [9] * 10
    assert counts(digits[validation]) == [1] * 10


@pytest.mark.parametrize("views_per_image", [1, 2, 3])
def test_views_of_one_image_stay_on_one_side_of_the_split(views_per_image: int) -> None:
    pool, true = build(pool={"size": SIZE, "views_per_image": views_per_image})
    labelled, unlabelled = pool.sources[pool.labelled], pool.sources[~pool.labelled]
    sides = [set(side) for side in (labelled, unlabelled, pool.validation_sources)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == SIZE
    for side in (labelled, unlabelled, pool.validation_sources):
        assert set(np.unique(side, return_counts=True)[1]) == {views_per_image}
    seen = set(zip(pool.sources, pool.views, strict=True))
    assert len(seen) == len(pool.views) == len(true), "an image is never twice in the same view"
    assert pool.budget == SIZE // 10


def test_the_notebook_pool_is_thirty_thousand_different_images_a_third_in_each_view_without_noise(
    digits: np.ndarray,
) -> None:
    pool, true = build_pool(load(change={"protocol": "notebook", "ratio": 0.1}))
    assert pool.budget == 3_000
    assert pool.images.shape == (30_000 - len(pool.validation_labels), 1, 32, 32)
    assert pool.images.dtype == pool.validation_images.dtype == torch.uint8
    everyone = np.concatenate([pool.sources, pool.validation_sources])
    assert len(np.unique(everyone)) == len(everyone) == 30_000
    assert counts(digits[everyone]) == [3_000] * 10
    names, shares = np.unique(pool.views, return_counts=True)
    assert names.tolist() == ["blur", "clean", "rotation"]
    assert shares.min() > 0.97 * len(pool.views) / 3
    np.testing.assert_array_equal(true, digits[pool.sources])


def test_the_literature_pool_is_all_sixty_thousand_images_as_they_are(mnist: Images) -> None:
    pool, true = build_pool(load(change={"protocol": "literature", "labels": 100}))
    assert set(pool.views) == {"clean"}
    assert pool.budget == 100
    everyone = np.sort(np.concatenate([pool.sources, pool.validation_sources]))
    np.testing.assert_array_equal(everyone, np.arange(60_000))
    assert torch.equal(pool.images, mnist.images[pool.sources])
    assert torch.equal(pool.validation_images, mnist.images[pool.validation_sources])
    np.testing.assert_array_equal(true, mnist.labels[pool.sources])
    assert pool.classes == mnist.classes


def test_the_pool_holds_no_true_label_of_an_unlabelled_image(digits: np.ndarray) -> None:
    pool, true = build()
    given = int(pool.labelled.sum())
    assert (pool.labels[:given] == true[:given]).all()
    assert (pool.labels[given:] == UNLABELLED).all(), "labelled images first, then unlabelled ones"
    assert {field.name for field in fields(Pool)} == {
        *("images", "labels", "sources", "views", "classes", "raw_shape", "digest", "conversion", "frozen"),
        *("validation_images", "validation_labels", "validation_sources", "certainty"),
    }
    assert pool.certainty is None, "a data set's labels are all alike"
    np.testing.assert_array_equal(pool.validation_labels, digits[pool.validation_sources])
    order = np.diff(true[given:])
    assert (order < 0).sum() > SIZE / 4, "the order of the unlabelled images does not tell their classes"


def test_the_clean_images_of_the_pool_are_the_images_of_their_sources(mnist: Images) -> None:
    pool, _ = build()
    clean = np.flatnonzero(np.array(pool.views) == "clean")
    assert torch.equal(pool.images[clean], show(mnist.images[pool.sources[clean]], "clean", size=32, seed=0))


def test_the_same_settings_give_the_same_bits() -> None:
    (one, true), (two, again) = build(seed=5), build(seed=5)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.validation_images, two.validation_images)
    for name in ("labels", "validation_labels", "sources", "validation_sources"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(true, again)
    assert one.views == two.views
    assert one.digest == two.digest


def test_the_digest_tells_pools_apart() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"ratio": 0.2},
        {"pool": {"size": SIZE + 10}},
        {"pool": {"size": SIZE, "views_per_image": 2}},
        {"pool": {"size": SIZE, "image_size": 28}},
        {"pool": {"size": SIZE, "validation": 0.5}},
        {"protocol": "literature"},
    ]
    assert len({build(**change)[0].digest for change in changes}) == len(changes)


def test_an_image_looks_the_same_whoever_is_labelled() -> None:
    few, _ = build(ratio=0.1)
    many, _ = build(ratio=0.8)

    def seen(pool: Pool) -> dict[int, bytes]:
        sources = np.concatenate([pool.sources, pool.validation_sources])
        images = torch.cat([pool.images, pool.validation_images]).numpy()
        return {int(source): image.tobytes() for source, image in zip(sources, images, strict=True)}

    assert seen(few) == seen(many)


def test_ratio_and_labels_mean_the_same_budget() -> None:
    by_ratio, by_labels = load(change={"ratio": 0.4}), load(change={"labels": 240})
    assert labelled_budget(by_ratio, SIZE, 10) == labelled_budget(by_labels, SIZE, 10) == 240
    assert labelled_budget(load(), SIZE, 10) == 60, "a tenth, if neither is given"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ratio": 0.01},
            r"^ratio 0.01 \(6 labels of 600 images\): fewer labels than the 10 classes; give at least 10",
        ),
        ({"labels": 9, "ratio": None}, "^labels 9: fewer labels than the 10 classes; give at least 10"),
        ({"labels": 600, "ratio": None}, "^labels 600: the pool has 600 images and some must stay unlabelled"),
        ({"labels": 700, "ratio": None}, "^labels 700: the pool has 600 images and some must stay unlabelled"),
        ({"pool": {"size": 60_001}}, "^pool.size 60001: MNIST has 60000 training images; give no more"),
        ({"pool": {"size": 55_000}}, "^pool.size 55000: class 5 has 5421 images, not the 5500 .*choose a smaller pool"),
        (
            {"pool": {"size": 60_000}, "labels": 59_000, "ratio": None},
            "^59000 labels ask for 5900 images of class 4, which has 5842 in the pool",
        ),
    ],
)
def test_a_budget_or_size_that_cannot_be_had_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(**change)
    assert "\n" not in str(caught.value)


def test_a_class_that_would_get_no_label_is_named() -> None:
    labels = np.repeat(np.arange(4), 50)
    with pytest.raises(UserError, match=r"3 labels leave class [0-3] without one; give at least 4"):
        split(labels, size=100, budget=3, validation=0.1, seed=0)


def test_the_raw_shape_is_that_of_the_data_set_whatever_the_pool_resizes_to() -> None:
    pool, _ = build_pool(load(change={"protocol": "notebook", "labels": 100, "pool": {"size": 200}}))
    assert pool.images.shape[1:] == (1, 32, 32)
    assert pool.raw_shape == (1, 28, 28)
