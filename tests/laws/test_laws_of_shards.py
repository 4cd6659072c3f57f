"""Shards change no more than is said: a small folder labelled in shards is labelled nearly as in memory."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kmpl.datasets.feature_shards import ShardFolder
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.errors import UserError
from kmpl.labelling.job import prepare, run
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.shard_labels import ShardLabelling, label_shards
from kmpl.method import shard_kmeans
from kmpl.method.cluster_ensemble import clusterings
from kmpl.method.frozen_steps import fit_head
from kmpl.method.shard_features import fit_projection, projected
from kmpl.method.shard_structure import ShardStructure, find_structure
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.frozen_network import directions
from kmpl.runtime.seeds import derive

N, PER_CLASS = 600, 4


@cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of length one, true classes, and a few given labels."""
    features, _ = directions(load_digits().data[:N])
    truth = load_digits().target[:N]
    labels = np.full(N, UNLABELLED)
    rng = np.random.default_rng(1000)
    for c in range(10):
        labels[rng.choice(np.flatnonzero(truth == c), PER_CLASS, replace=False)] = c
    return features, truth, labels


def folder_of(labels: np.ndarray, features: np.ndarray) -> FolderImages:
    return FolderImages(
        root=Path("digits"),
        files=tuple(f"{i:04}.png" for i in range(N)),
        images=torch.zeros((N, 1, 1, 1), dtype=torch.uint8),
        labels=labels,
        classes=tuple("0123456789"),
        digests=tuple(f"{i:064x}" for i in range(N)),
        left_out={},
        frozen=FrozenFeatures(values=features, validation=features[:0], root=True, name="features:digits"),
    )


def in_shards(
    n_shards: int, folder: Path, given: np.ndarray | None = None, **settings: Any
) -> tuple[ShardLabelling, ShardStructure]:
    features, _, labels = digits()
    labels = labels if given is None else given
    job = prepare(folder_of(labels, features[:0]), {"threshold": 0.5, "folds": 3} | settings)
    shards = np.array_split(features.astype(np.float16), n_shards)
    structure = find_structure(
        shards,
        n_clusters=job.config.clustering.n_clusters,
        seed=derive(job.options.seed, "structure"),
        folder=ShardFolder(folder),
    )
    return label_shards(job, structure), structure


@pytest.fixture(scope="module")
def in_memory() -> LabelTable:
    features, _, labels = digits()
    job = prepare(folder_of(labels, features), {"threshold": 0.5, "folds": 3})
    return run(job, Steps(evaluate=no_test_set("none")))[1]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> LabelTable:
    return in_shards(3, tmp_path_factory.mktemp("three"))[0].table


def test_a_folder_in_shards_is_labelled_nearly_as_in_memory(in_memory: LabelTable, three: LabelTable) -> None:
    _, truth, labels = digits()
    rest = labels == UNLABELLED
    assert (three.guesses == in_memory.guesses)[rest].mean() > 0.95
    accuracy = [(table.guesses == truth)[rest].mean() for table in (three, in_memory)]
    assert accuracy[0] > 0.9
    assert accuracy[0] == pytest.approx(accuracy[1], abs=0.02)
    assert np.corrcoef(three.confidence[rest], in_memory.confidence[rest])[0, 1] > 0.9
    assert three.choice.expected_accuracy == pytest.approx(in_memory.choice.expected_accuracy, abs=0.03)
    assert three.choice.n_hidden == in_memory.choice.n_hidden == 10 * PER_CLASS


def test_the_clusterings_are_those_in_memory(tmp_path: Path) -> None:
    features, _, _ = digits()
    half = features.astype(np.float16).astype(np.float32)
    structure = find_structure(np.array_split(half, 3), n_clusters=60, seed=1000, folder=ShardFolder(tmp_path))
    assignments = np.concatenate(list(structure.assignments))
    for column, expected in enumerate(clusterings(half, seed=1000), start=1):
        np.testing.assert_array_equal(assignments[:, column], expected)


def test_law_3_threads_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for threads in (1, 3):
        monkeypatch.setattr(shard_kmeans, "cores", lambda threads=threads: threads)
        found, structure = in_shards(5, tmp_path / str(threads), check="off")
        tables.append(
            (found.table.guesses, found.table.confidence, found.weight, np.concatenate([*structure.assignments]))
        )
    for one, other in zip(*tables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_number_of_shards_changes_next_to_nothing(tmp_path: Path, three: LabelTable) -> None:
    one = in_shards(1, tmp_path, check="off")[0].table
    assert (one.guesses == three.guesses).mean() > 0.99


def test_laws_1_and_2_in_shards(three: LabelTable) -> None:
    _, _, labels = digits()
    given = labels != UNLABELLED
    np.testing.assert_array_equal(three.classes[given], labels[given])
    assert (three.confidence[given] == 1).all()
    assert (three.rounds[given] == 0).all()
    assert not hasattr(three, "truth")  # the labels of the others are nowhere in what it was given


def test_unchecked_labels_count_less_and_are_no_evidence(tmp_path: Path) -> None:
    features, truth, labels = digits()
    more = labels.copy()
    some = np.flatnonzero(labels == UNLABELLED)[:30]
    more[some] = (truth[some] + 1) % 10  # what kmpl assigned earlier, wrongly
    folder = replace(folder_of(more, features[:0]), unreviewed=frozenset(f"{i:04}.png" for i in some))
    structure = find_structure(np.array_split(features, 3), n_clusters=60, seed=1000, folder=ShardFolder(tmp_path))
    table = label_shards(prepare(folder, {"threshold": 0.5, "folds": 2}), structure).table
    assert table.choice.n_hidden == 10 * PER_CLASS
    assert not set(table.suspects) & set(map(int, some))


def test_components_that_are_left_out_cost_nothing() -> None:
    rng = np.random.default_rng(1000)
    features, truth, labels = digits()
    wide = np.abs(features @ rng.normal(size=(64, 400)).astype(np.float32) + 0.01 * rng.normal(size=(N, 400)))
    shards = np.array_split(wide, 3)
    projection = fit_projection(shards, name="wide")
    whole, root = directions(wide)
    small = np.concatenate(list(projected(shards, projection)))
    assert (small.dtype, small.shape, projection.root, root) == (np.float16, (N, 256), True, True)
    given = labels != UNLABELLED
    ours = fit_head(small[given].astype(np.float32), labels[given], np.ones(given.sum()), n_classes=10)
    full = fit_head(whole[given], labels[given], np.ones(given.sum()), n_classes=10)
    named = [(x @ w.T + b).argmax(axis=1) for x, (w, b) in ((small, ours), (whole, full))]
    assert (named[0] == named[1]).mean() > 0.985
    assert (named[0] == truth).mean() > 0.7
    weight, bias = projection.of_head(*ours)
    np.testing.assert_allclose(whole @ weight.T + bias, small.astype(np.float32) @ ours[0].T + ours[1], atol=0.05)


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        (np.full((5, 3), np.nan), "--backbone x: not all features are finite numbers"),
        (np.ones((5, 3)), "--backbone x: all images have the same features"),
    ],
)
def test_features_that_tell_nothing_are_one_line(numbers: np.ndarray, line: str) -> None:
    with pytest.raises(UserError, match=line):
        fit_projection(np.array_split(numbers.astype(np.float32), 2), name="x")


def test_slips_among_given_labels_are_found_in_shards_as_in_memory(tmp_path: Path) -> None:
    features, truth, labels = digits()
    slips = [int(np.flatnonzero(labels == c)[0]) for c in (0, 6)]
    wrong = labels.copy()
    wrong[slips] = 1
    job = prepare(folder_of(wrong, features), {"threshold": 0.5, "folds": 3})
    in_memory = run(job, Steps(evaluate=no_test_set("none")))[1].suspects
    suspects = in_shards(3, tmp_path, given=wrong)[0].table.suspects
    for found in (suspects, in_memory):
        assert {i: found.get(i) for i in slips} == {i: truth[i] for i in slips}
