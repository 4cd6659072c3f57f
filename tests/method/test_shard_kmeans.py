"""K-means over shards: as good as over all at once, the same whoever computes it, whatever the precision."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from kmpl.errors import SettingError
from kmpl.method import shard_kmeans
from kmpl.method.shard_kmeans import draw, inertia_of, kmeans_of_shards, nearest_and_distance, rows, split


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return load_digits().data.astype(np.float32) / 16


def test_it_is_as_good_as_scikit_learns_on_all_points_at_once(points: np.ndarray) -> None:
    with threadpool_limits(1):
        whole = KMeans(30, n_init=1, random_state=1000).fit(points).inertia_
    shards = np.array_split(points.astype(np.float16), 7)
    assert inertia_of(shards, kmeans_of_shards(shards, 30, seed=1000)) < 1.02 * whole


def test_a_pass_is_lloyds(points: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    points = points + np.random.default_rng(1000).normal(scale=1e-2, size=points.shape).astype(np.float32)  # no ties
    start = SimpleNamespace(centroids=points[:40])
    monkeypatch.setattr(shard_kmeans, "kmeans", lambda *_, **__: start)
    ours = kmeans_of_shards(np.array_split(points, 5), 40, seed=0, passes=1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = KMeans(40, init=start.centroids, n_init=1, max_iter=1, tol=0).fit(points)
    np.testing.assert_allclose(ours, theirs.cluster_centers_, atol=1e-4)


def test_a_sample_is_of_all_shards_and_the_same_however_they_are_cut(points: np.ndarray) -> None:
    few = [draw(np.array_split(points, n), 100, 1000) for n in (1, 4, 50)]
    for features, images in few:
        np.testing.assert_array_equal(images, few[0][1])
        np.testing.assert_array_equal(features, points[images])
    assert draw([points], 10_000, 0)[0].shape == points.shape


def test_rows_and_parts_are_found_across_empty_shards(points: np.ndarray) -> None:
    shards = [points[:5], points[:0], points[5:9], points[9:]]
    np.testing.assert_array_equal(rows(shards, np.array([0, 4, 5, 8, 9, 40])), points[[0, 4, 5, 8, 9, 40]])
    assert rows(shards, np.array([], dtype=int)).shape == (0, 64)
    assert [len(part) for part in split(np.arange(len(points)), shards)] == [5, 0, 4, len(points) - 9]
    found, distances = nearest_and_distance(points[:0], points[:3])
    assert len(found) == len(distances) == 0


def test_fewer_points_than_clusters_are_refused(points: np.ndarray) -> None:
    with pytest.raises(SettingError, match="n_clusters 9: there are 8 points"):
        kmeans_of_shards([points[:4], points[4:8]], 9, seed=0)


def test_copies_of_few_points_give_fewer_clusters(points: np.ndarray) -> None:
    copies = [np.repeat(points[:2], 10, axis=0)] * 2
    centroids = kmeans_of_shards(copies, 5, seed=0)
    assert len(centroids) == 2
    assert inertia_of(copies, centroids) == pytest.approx(0, abs=1e-3)
