"""Clusters that fit the pool, where nobody said how many."""

from typing import Any

import pytest

from kmpl.config.experiment import Method
from kmpl.config.presets import PRESETS, layered, preset_pool_size
from kmpl.method.pool_size import fitted


def clusters(preset: str = "default", **change: Any) -> int:
    config = layered(Method(), preset, None, change)
    return fitted(config, change, preset_pool_size(preset)).clustering.n_clusters


def test_pools_that_the_presets_are_made_for_keep_their_settings() -> None:
    for preset in PRESETS:
        config = layered(Method(), preset, None, None)
        assert fitted(config, {}, preset_pool_size(preset)) is config
    assert clusters(protocol="literature") == 500
    assert clusters("quick") == 220


@pytest.mark.parametrize(
    ("preset", "pool", "expected"),
    [
        ("quick", {"size": 1_000}, 63),
        ("quick", {"size": 9_999}, 200),
        ("quick", {"size": 10_000}, 220),
        ("quick", {"size": 30_000}, 220),
        ("quick", {"size": 1_000, "views_per_image": 4}, 126),
        ("default", {"size": 1_000}, 63),
        ("default", {"size": 10_000, "views_per_image": 3}, 500),
        ("default", {"size": 20}, 10),
    ],
)
def test_a_smaller_pool_has_twice_the_root_of_its_images(preset: str, pool: dict[str, int], expected: int) -> None:
    assert clusters(preset, pool=pool) == expected


def test_a_given_number_of_clusters_stays() -> None:
    assert clusters("quick", pool={"size": 1_000}, clustering={"n_clusters": 220}) == 220
    assert clusters("quick", pool={"size": 1_000}, clustering={"l2": False}) == 63
