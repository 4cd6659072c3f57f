"""Suggestions from shards: typical images of clusters without a label first, no near-duplicates, then the uncertain."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.labelling.active_learning import suggest
from kmpl.labelling.shard_suggestions import ShardSuggestions, suggest_in_shards

N = 600


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return load_digits().data[:N].astype(np.float32) / 16


def suggested(features: np.ndarray, labels: np.ndarray, budget: int, **more: object) -> ShardSuggestions:
    digests = [row.tobytes().hex() for row in features]
    shards = np.array_split(features, 4)
    return suggest_in_shards(shards, labels, budget=budget, seed=1000, digests=digests, **more)  # type: ignore[arg-type]


def test_unlabelled_images_are_asked_about_as_in_memory(features: np.ndarray) -> None:
    truth = load_digits().target[:N]
    none = np.full(N, UNLABELLED)
    found = suggested(features, none, 20)
    memory = suggest(features, none, budget=20, seed=1000)
    assert len(set(map(int, found.images))) == len(found.images) == 20
    assert set(found.reasons) == {"no label in its cluster"}
    assert len(set(truth[found.images])) >= len(set(truth[memory.images])) - 1
    assert len(set(map(int, found.clusters))) == 20


def test_clusters_with_a_label_are_passed_over_and_then_the_least_certain_come(features: np.ndarray) -> None:
    labels = np.full(N, UNLABELLED)
    labels[:100] = 0
    certainty = np.linspace(0, 1, N)[::-1]
    found = suggested(features, labels, 60, confidence=lambda: certainty)
    n_typical = found.reasons.count("no label in its cluster")
    assert found.reasons[n_typical:] == ("least certain",) * (60 - n_typical)
    rest = found.images[n_typical:]
    assert (np.diff(certainty[rest]) > 0).all()
    assert rest[0] == N - 1
    assert not (labels[found.images] != UNLABELLED).any()


def test_copies_and_near_duplicates_are_never_suggested(features: np.ndarray) -> None:
    few = np.repeat(features[:40], 15, axis=0)
    few[::2] += 1e-4
    labels = np.full(len(few), UNLABELLED)
    labels[:15] = 0  # all copies of the first
    found = suggested(few, labels, 100)
    assert len(found.images) == 39
    assert set(found.images // 15) == set(range(1, 40))


def test_without_classes_what_lies_between_clusters_comes_last(features: np.ndarray) -> None:
    found = suggested(features, np.full(N, UNLABELLED), 45)
    assert set(found.reasons) == {"no label in its cluster", "between clusters"}
    assert len(found.images) == 45


def test_a_budget_that_does_not_fit_is_refused(features: np.ndarray) -> None:
    with pytest.raises(UserError, match=f"budget {N + 1}: {N} images have no label"):
        suggested(features, np.full(N, UNLABELLED), N + 1)
