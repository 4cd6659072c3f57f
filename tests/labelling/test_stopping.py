"""The accuracy that is expected with fewer labels, on real digits by their pixels."""

import numpy as np
import pytest

from kmpl.datasets import registry
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.stopping import expected_by_labels
from kmpl.method.frozen_structure import with_structure
from kmpl.method.pretext import pixels

N, CLASSES = 400, 10


@pytest.fixture(scope="module")
def frozen() -> FrozenFeatures:
    values = pixels(registry.read("MNIST", train=True).images[:N])
    plain = FrozenFeatures(values=values, validation=values[:0], root=False, name="pixels")
    return with_structure(plain, 0)


def labels(per_class: int) -> np.ndarray:
    truth = registry.read("MNIST", train=True).labels[:N].numpy()
    given = np.full(N, UNLABELLED)
    for c in range(CLASSES):
        given[np.flatnonzero(truth == c)[:per_class]] = c
    return given


def test_more_labels_are_expected_to_name_more_rightly(frozen: FrozenFeatures) -> None:
    curve = expected_by_labels(frozen, labels(12), n_classes=CLASSES, seed=0, in_all=0.85)
    assert [n for n, _ in curve] == [30, 60, 90, 120]
    assert curve[-1] == (120, 0.85)
    assert curve[0][1] < 0.8
    assert expected_by_labels(frozen, labels(12), n_classes=CLASSES, seed=0, in_all=0.85) == curve


def test_with_few_labels_a_class_nothing_is_said(frozen: FrozenFeatures) -> None:
    assert expected_by_labels(frozen, labels(2), n_classes=CLASSES, seed=0, in_all=0.6) == []
    assert [n for n, _ in expected_by_labels(frozen, labels(4), n_classes=CLASSES, seed=0, in_all=0.6)] == [20, 30, 40]
