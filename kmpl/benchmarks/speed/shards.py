"""Benchmark of shards: K-means over shards, and labelling as the folder grows, each measurement in its own process.

Features are those of a real network for digits; more are drawn between a picture and one of its nearest, with noise.
Times are the processor's seconds, which other work on the machine changes little. N images.
"""

import csv
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from kmpl.benchmarks.speed.memory import peak_memory, reset_peak
from kmpl.config.labelling import IMAGES_PER_SHARD
from kmpl.datasets.feature_shards import MappedShards
from kmpl.datasets.registry import read
from kmpl.jobs import label_sharded
from kmpl.jobs.label_files import Files
from kmpl.jobs.workers import exit_with_parent
from kmpl.method.shard_kmeans import inertia_of, kmeans_of_shards
from kmpl.models.backbones.embedding import embed_batch
from kmpl.models.backbones.registry import open_backbone
from kmpl.models.frozen_network import directions

T = TypeVar("T")

DIMENSION = 128
CLUSTERS = 500
PER_CLASS = 20
"""Given labels of each class."""
PARTS = ("features", "cluster", "vote and check", "write labels", "all")
WAYS = ("over shards", "mini-batches of shards", "scikit-learn, all at once")
_NEAREST = 5
_NOISE = 0.5  # of the spread between a picture and its nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Clustered:
    """One way of K-means."""

    way: str
    """One of ``WAYS``."""
    inertia: float
    seconds: float
    """Of the processor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartCost:
    """What one part of a labelling costs."""

    images: int
    part: str
    """One of ``PARTS``."""
    seconds: float
    """Of the processor."""
    peak: float
    """Largest memory of the process until the part's end, MiB; ``all`` also has what libraries take (some 500)."""
    accuracy: float
    """Share of the images without a given label whose most likely class is right."""


def alone(work: Callable[..., T], *given: Any) -> T:
    """Return what some work gives in a process of its own, so that it inherits no memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), exit_with_parent) as process:
        return process.submit(work, *given).result()


def real_features(backbone: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, 128) float32 of digits by a network, and their classes."""
    data = read("MNIST", train=True)
    network = open_backbone(backbone)
    batches = data.images[:n].permute(0, 2, 3, 1).split(32)
    unit, _ = directions(np.concatenate([embed_batch(network, batch) for batch in batches]))
    small = PCA(min(DIMENSION, n, unit.shape[1]), svd_solver="covariance_eigh").fit_transform(unit.astype(np.float64))
    return small.astype(np.float32), data.labels[:n].numpy()


def write_shards(features: np.ndarray, classes: np.ndarray, n: int, folder: Path) -> Path:
    """Write shards of N features that are drawn from real ones, names, and a CSV of a few labels; return the folder."""
    shards = folder / "features"
    shards.mkdir(parents=True)
    (folder / "pictures").mkdir()
    with threadpool_limits(1):
        near = NearestNeighbors(n_neighbors=_NEAREST + 1).fit(features).kneighbors(features)[1][:, 1:]
    spread = _NOISE * (features[near[:, 0]] - features).std(axis=0)
    truth = np.empty(n, dtype=np.int64)
    for start in range(0, n, IMAGES_PER_SHARD):
        size = min(IMAGES_PER_SHARD, n - start)
        rng = np.random.default_rng([1000, start])
        one = rng.integers(0, len(features), size)
        other = near[one, rng.integers(0, near.shape[1], size)]
        drawn = features[one] + rng.random((size, 1), dtype=np.float32) * 0.5 * (features[other] - features[one])
        drawn += spread * rng.normal(size=drawn.shape)
        np.save(shards / f"{start:010}.npy", drawn.astype(np.float16))
        lines = "\n".join(f"{start // 10_000:06}/{i:010}.png" for i in range(start, start + size))
        (shards / f"{start:010}.txt").write_text(lines + "\n")
        truth[start : start + size] = classes[one]
    np.save(folder / "truth.npy", truth)
    names = [name for file in sorted(shards.glob("*.txt")) for name in file.read_text().splitlines()]
    _write_labels(folder, names, truth, [str(c) for c in range(10)])
    return folder


def write_pictures(n: int, folder: Path) -> Path:
    """Write N digits as PNG, and a CSV of a few labels; return the folder."""
    data = read("MNIST", train=True)
    names = []
    for i in range(n):
        names.append(f"{i // 10_000:03}/{i:06}.png")
        path = folder / "pictures" / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(data.images[i % 60_000, 0].numpy(), i // 60_000, axis=0)).save(path)
    truth = data.labels.numpy()[np.arange(n) % 60_000]
    np.save(folder / "truth.npy", truth)
    _write_labels(folder, names, truth, list(data.classes))
    return folder


def _write_labels(folder: Path, names: Sequence[str], truth: np.ndarray, classes: Sequence[str]) -> None:
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label"))
        for c in range(len(classes)):
            writer.writerows((names[i], classes[c]) for i in np.flatnonzero(truth == c)[:PER_CLASS])


def cluster(shards: Path, way: str) -> Clustered:
    """Return what one way of K-means gives of a folder of shards, with 500 clusters."""
    mapped = MappedShards(sorted(shards.glob("*.npy")))
    if way == WAYS[2]:
        whole = np.concatenate([np.asarray(shard, dtype=np.float32) for shard in mapped])
    begin = time.process_time()
    with threadpool_limits(1):
        if way == WAYS[0]:
            centroids = kmeans_of_shards(mapped, CLUSTERS, seed=1000)
        elif way == WAYS[1]:
            model = MiniBatchKMeans(CLUSTERS, n_init=1, random_state=1000)
            for number in range(3 * len(mapped)):
                model.partial_fit(np.asarray(mapped[number % len(mapped)], dtype=np.float32))
            centroids = model.cluster_centers_
        else:
            centroids = KMeans(CLUSTERS, n_init=1, random_state=1000).fit(whole).cluster_centers_
    seconds = time.process_time() - begin
    return Clustered(way=way, inertia=inertia_of(mapped, centroids.astype(np.float32)), seconds=seconds)


def label(folder: Path, backbone: str) -> list[PartCost]:
    """Return what each part of labelling a folder in shards costs; ``folder`` is one that was written here."""
    truth = np.load(folder / "truth.npy")
    ends: list[tuple[float, float]] = []

    def end(_: str) -> None:
        ends.append((time.process_time(), peak_memory()))

    files = Files(folder / "pictures", folder / "out.csv", folder / "labels.csv", overwrite=True)
    shards = 0 if backbone.startswith("features:") else -(-len(truth) // IMAGES_PER_SHARD)
    settings = {"backbone": backbone, "seed": 1000, "threshold": 0.0} | ({"shards": shards} if shards else {})
    begin = time.process_time()
    reset_peak()
    table, _ = label_sharded.label(files, settings, mlruns=folder / "mlruns", entering=end)
    end("")
    rest = ~table.given
    accuracy = float((table.guesses == truth)[rest].mean())
    starts = [begin, *(at for at, _ in ends)]
    costs = [
        PartCost(images=len(truth), part=part, seconds=at - start, peak=peak, accuracy=accuracy)
        for part, start, (at, peak) in zip(PARTS, starts, ends, strict=False)
    ]
    whole = ends[-1][0] - begin
    return [*costs, PartCost(images=len(truth), part="all", seconds=whole, peak=peak_memory(), accuracy=accuracy)]
