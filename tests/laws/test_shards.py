"""Shards change no more than is said: a small folder labelled in shards is labelled as in memory, by whatever threads."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kmpl.datasets.feature_shards import ShardFolder
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.labelling.job import Job, prepare, run
from kmpl.labelling.label_table import LabelTable
from kmpl.labelling.shard_labels import ShardLabelling, label_shards
from kmpl.method.shard_structure import ShardStructure, find_structure
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.frozen_network import directions
from kmpl.runtime.seeds import derive

N, PER_CLASS = 900, 4


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


def in_shards(n_shards: int, folder: Path, labels: np.ndarray | None = None) -> tuple[ShardLabelling, ShardStructure]:
    features, _, given = digits()
    job = shard_job(given if labels is None else labels)
    shards = np.array_split(features.astype(np.float16), n_shards)
    structure = find_structure(
        shards,
        n_clusters=job.config.clustering.n_clusters,
        seed=derive(job.options.seed, "structure"),
        folder=ShardFolder(folder),
    )
    return label_shards(job, structure), structure


def shard_job(labels: np.ndarray) -> Job:
    features, _, _ = digits()
    return prepare(folder_of(labels, features[:0]), {"threshold": 0.5})


@pytest.fixture(scope="module")
def in_memory() -> LabelTable:
    features, _, labels = digits()
    job = prepare(folder_of(labels, features), {"threshold": 0.5})
    return run(job, Steps(evaluate=no_test_set("none")))[1]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> LabelTable:
    return in_shards(3, tmp_path_factory.mktemp("three"))[0].table


def test_a_folder_in_shards_is_labelled_as_in_memory(in_memory: LabelTable, three: LabelTable) -> None:
    _, truth, labels = digits()
    rest = labels == UNLABELLED
    print(
        (three.guesses == in_memory.guesses)[rest].mean(),
        (three.guesses == truth)[rest].mean(),
        (in_memory.guesses == truth)[rest].mean(),
        np.corrcoef(three.confidence[rest], in_memory.confidence[rest]),
        three.choice,
        in_memory.choice,
    )
    assert (three.guesses == in_memory.guesses)[rest].mean() > 0.97
