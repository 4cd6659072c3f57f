"""The clusters that a person is shown."""

import numpy as np
import pytest

from kmpl.datasets import mnist
from kmpl.errors import UserError
from kmpl.method import pretext
from kmpl.review import rounds

FEATURES = np.random.default_rng(0).normal(size=(60, 4))


def test_the_same_seed_gives_the_same_clusters_and_every_image_is_in_one() -> None:
    features = pretext.pixels(mnist.read(train=True).images[:200])
    members = np.arange(0, 200, 2)
    once, again = (
        rounds.make_clusters(features, members, n_clusters=None, seed=3, number=2) for _ in ("once", "again")
    )
    assert [cluster.tolist() for cluster in once] == [cluster.tolist() for cluster in again]
    assert sorted(np.concatenate(once)) == members.tolist()
    assert len(once) == 20, "2 √N"


def test_a_split_has_two_parts_the_larger_first() -> None:
    members = np.arange(5, 40)
    first, second = rounds.split(FEATURES, members, seed=0)
    assert len(first) >= len(second) > 0
    assert sorted([*first, *second]) == members.tolist()


def test_what_cannot_be_split_is_said() -> None:
    with pytest.raises(UserError, match="a cluster of one image cannot be split"):
        rounds.split(FEATURES, np.array([3]), seed=0)
    with pytest.raises(UserError, match="the 4 images of this cluster have the same features"):
        rounds.split(np.ones((4, 2)), np.arange(4), seed=0)
