"""Clustering and votes: against scikit-learn, against brute force, and at their edges."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from kmpl.config.experiment import Clustering
from kmpl.datasets import registry
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.images.transforms import resize, to_float
from kmpl.method import kmeans as clustering
from kmpl.method.cluster_graph import links, nearest_points, propagate_labels, vote
from kmpl.method.kmeans import cluster, kmeans, prepare, seeded_kmeans
from kmpl.method.results import Clusters

N = 1_000


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pixels of real digits at half their size, (N, 196) float32, and their classes."""
    data = registry.read("MNIST", train=True)
    return resize(to_float(data.images[:N]), 14).flatten(1).numpy(), data.labels[:N].numpy()


@pytest.fixture(scope="module")
def few(digits: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The classes of the first 100 digits, −1 for the others."""
    return np.where(np.arange(N) < 100, digits[1], UNLABELLED)


def squared_distances(features: np.ndarray, clusters: Clusters) -> np.ndarray:
    return np.square(features.astype(np.float64) - clusters.centroids[clusters.assignment]).sum(axis=1)


def check_partition(clusters: Clusters, n_points: int) -> None:
    assert clusters.assignment.shape == (n_points,)
    assert clusters.assignment.dtype == np.int64
    assert clusters.sizes.sum() == n_points
    assert len(clusters.sizes) == len(clusters.centroids)
    assert clusters.sizes.min() >= 1, "no cluster is empty"


def same(one: Clusters, two: Clusters) -> bool:
    equal = np.array_equal(one.assignment, two.assignment) and np.array_equal(one.centroids, two.centroids)
    return equal and one.inertia == two.inertia


def test_kmeans_is_as_good_as_scikit_learns(digits: tuple[np.ndarray, np.ndarray]) -> None:
    features = digits[0]
    found = kmeans(features, 20, seed=3)
    reference = KMeans(20, n_init=1, random_state=3).fit(features)
    assert found.inertia == pytest.approx(reference.inertia_, rel=1e-3)
    check_partition(found, len(features))


@pytest.mark.parametrize("algorithm", ["kmeans", "mini-batch"])
def test_every_point_is_with_its_nearest_centroid_and_inertia_is_what_it_says(
    digits: tuple[np.ndarray, np.ndarray], algorithm: str
) -> None:
    found = kmeans(digits[0], 20, seed=0, algorithm=algorithm)
    np.testing.assert_array_equal(found.assignment, cdist(digits[0], found.centroids).argmin(axis=1))
    assert found.inertia == pytest.approx(squared_distances(digits[0], found).sum(), rel=1e-3)


def test_more_restarts_are_never_worse(digits: tuple[np.ndarray, np.ndarray]) -> None:
    once = [kmeans(digits[0], 20, seed=seed).inertia for seed in range(4)]
    thrice = [kmeans(digits[0], 20, seed=seed, restarts=3).inertia for seed in range(4)]
    assert all(best <= first for best, first in zip(thrice, once, strict=True))
    assert sum(thrice) < sum(once)


@pytest.mark.parametrize("restarts", [1, 3])
def test_as_many_starts_are_drawn_as_asked_for(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, restarts: int
) -> None:
    """scikit-learn makes ten of a function of one's own if nobody says how many, and one of its own k-means++."""
    drawn: list[int] = []

    def counted(features: np.ndarray, n_clusters: int, random_state: np.random.RandomState) -> np.ndarray:
        drawn.append(n_clusters)
        return starts(features, n_clusters, random_state)

    starts = clustering._plus_plus
    monkeypatch.setattr(clustering, "_plus_plus", counted)
    kmeans(digits[0], 20, seed=0, restarts=restarts)
    assert drawn == [20] * restarts
    drawn.clear()
    KMeans(20, init=counted, random_state=0).fit(digits[0])
    assert len(drawn) == 10, "scikit-learn has changed: the docstring is out of date"


@pytest.mark.parametrize("algorithm", ["kmeans", "mini-batch", "seeded"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    digits: tuple[np.ndarray, np.ndarray], few: np.ndarray, algorithm: str
) -> None:
    settings = Clustering(algorithm=algorithm, n_clusters=40)
    one, two, other = (cluster(digits[0], few, settings, seed=seed) for seed in (7, 7, 8))
    assert same(one, two)
    assert not same(one, other)


def test_cluster_runs_the_algorithm_that_the_settings_name(
    digits: tuple[np.ndarray, np.ndarray], few: np.ndarray
) -> None:
    features = digits[0]
    expected = {
        Clustering(algorithm="kmeans", n_clusters=30): kmeans(features, 30, seed=2),
        Clustering(algorithm="kmeans", n_clusters=30, restarts=6): kmeans(features, 30, seed=2, restarts=6),
        Clustering(algorithm="mini-batch", n_clusters=30): kmeans(features, 30, seed=2, algorithm="mini-batch"),
        Clustering(algorithm="seeded", n_clusters=30): seeded_kmeans(features, few, n_clusters=30, seed=2),
    }
    for settings, clusters in expected.items():
        assert same(cluster(features, few, settings, seed=2), clusters), settings
    assert len({clusters.inertia for clusters in expected.values()}) == len(expected)


@pytest.mark.parametrize("n_clusters", [-1, 0, 6])
def test_fewer_than_one_cluster_or_more_than_points_are_refused(n_clusters: int) -> None:
    points, labels = np.arange(5.0)[:, None], np.array([0, 1, -1, -1, -1])
    with pytest.raises(UserError, match=rf"^clustering\.n_clusters {n_clusters}: there are 5 points; give 1 to 5$"):
        kmeans(points, n_clusters, seed=0)
    with pytest.raises(UserError, match=rf"^clustering\.n_clusters {n_clusters}: there are 5 points; give 1 to 5$"):
        seeded_kmeans(points, labels, n_clusters=n_clusters, seed=0)


def test_one_cluster_and_as_many_as_points_are_both_allowed() -> None:
    points = np.arange(5.0)[:, None]
    one, all_apart = kmeans(points, 1, seed=0), kmeans(points, 5, seed=0)
    np.testing.assert_allclose(one.centroids, [[2.0]])
    assert one.inertia == pytest.approx(10)
    assert sorted(all_apart.centroids[:, 0]) == [0, 1, 2, 3, 4]
    assert all_apart.inertia == pytest.approx(0)
    for n_clusters in (1, 5):
        check_partition(kmeans(points, n_clusters, seed=0, algorithm="mini-batch"), 5)


@pytest.mark.parametrize("algorithm", ["kmeans", "mini-batch", "seeded"])
def test_fewer_different_points_than_clusters_leave_no_empty_cluster_and_no_warning(algorithm: str) -> None:
    """Warnings are errors here."""
    features = np.repeat(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], dtype=np.float32), 20, axis=0)
    labels = np.full(60, UNLABELLED)
    labels[[0, 20, 40]] = [0, 1, 2]
    found = cluster(features, labels, Clustering(algorithm=algorithm, n_clusters=12), seed=0)
    check_partition(found, 60)
    if algorithm != "seeded":
        assert len(found.sizes) == 3
    np.testing.assert_allclose(squared_distances(features, found), 0, atol=1e-9)


@pytest.mark.parametrize("n_clusters", [10, 17, 60])
def test_seeded_kmeans_never_puts_labelled_points_of_two_classes_together(
    digits: tuple[np.ndarray, np.ndarray], few: np.ndarray, n_clusters: int
) -> None:
    features = digits[0]
    found = seeded_kmeans(features, few, n_clusters=n_clusters, seed=0)
    check_partition(found, len(features))
    assert len(found.sizes) == n_clusters
    given = few != UNLABELLED
    pairs = np.unique(np.stack([found.assignment[given], few[given]]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1], "each cluster holds labelled points of one class"
    free = kmeans(features, n_clusters, seed=0).assignment[given]
    loose = np.unique(np.stack([free, few[given]]), axis=1)
    if n_clusters < 60:
        assert len(np.unique(loose[0])) < loose.shape[1], "plain K-means does mix them: the clamp is at work"


def test_seeded_kmeans_puts_unlabelled_points_with_the_nearest_of_all_centroids() -> None:
    features, classes = make_blobs(400, n_features=3, centers=4, cluster_std=0.6, random_state=0)
    labels = np.where(np.arange(400) < 20, classes, UNLABELLED)
    found = seeded_kmeans(features, labels, n_clusters=8, seed=0)
    free = labels == UNLABELLED
    np.testing.assert_array_equal(
        found.assignment[free], cdist(features[free], found.centroids).argmin(axis=1), "after it has converged"
    )
    for k in range(len(found.sizes)):
        np.testing.assert_allclose(found.centroids[k], features[found.assignment == k].mean(axis=0))
    assert found.inertia == pytest.approx(squared_distances(features, found).sum())


def test_seeded_kmeans_only_improves_with_more_iterations(
    digits: tuple[np.ndarray, np.ndarray], few: np.ndarray
) -> None:
    inertia = [
        seeded_kmeans(digits[0], few, n_clusters=20, seed=0, max_iter=max_iter).inertia
        for max_iter in (1, 2, 4, 8, 100)
    ]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(inertia))
    assert inertia[-1] < inertia[0]


def test_seeded_kmeans_needs_a_cluster_for_each_class() -> None:
    features, labels = np.arange(6.0)[:, None], np.array([0, 1, 2, -1, -1, -1])
    with pytest.raises(UserError, match=r"^clustering.n_clusters 2: seeded K-means needs one for each of 3 classes$"):
        seeded_kmeans(features, labels, n_clusters=2, seed=0)
    assert len(seeded_kmeans(features, labels, n_clusters=3, seed=0).sizes) == 3


def test_seeded_kmeans_works_where_everything_is_labelled_and_where_a_class_has_no_label() -> None:
    features, classes = make_blobs(90, n_features=2, centers=3, random_state=1)
    everything = seeded_kmeans(features, classes, n_clusters=6, seed=0)
    check_partition(everything, 90)
    gap = seeded_kmeans(features, np.where(classes == 1, UNLABELLED, classes), n_clusters=4, seed=0)
    check_partition(gap, 90)


def test_seeded_kmeans_finds_the_classes_from_one_label_each() -> None:
    features, classes = make_blobs(300, n_features=2, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    labels = np.full(300, UNLABELLED)
    first = [int(np.flatnonzero(classes == c)[0]) for c in range(3)]
    labels[first] = range(3)
    found = seeded_kmeans(features, labels, n_clusters=3, seed=0)
    np.testing.assert_array_equal(found.assignment, found.assignment[first][classes])


def test_an_empty_cluster_takes_the_unlabelled_point_farthest_from_its_centroid() -> None:
    assignment, distance = np.array([0, 0, 0, 2, 2, 2]), np.array([9.0, 1.0, 5.0, 8.0, 0.5, 7.0])
    labels = np.array([1, -1, -1, 0, -1, -1])
    filled = clustering._fill_empty(assignment, distance, labels, n_clusters=3)
    assert filled.tolist() == [0, 0, 0, 2, 2, 1], "the labelled points 0 and 3 lie farther but stay"
    assert assignment.tolist() == [0, 0, 0, 2, 2, 2], "the argument is not changed"
    full = np.array([0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(clustering._fill_empty(full, distance, labels, n_clusters=3), full)


def test_seeded_kmeans_fills_clusters_that_start_empty() -> None:
    """One labelled point a class and no unlabelled point near: the class's clusters start at the same place."""
    features = np.concatenate([np.zeros((1, 1)), np.linspace(10, 12, 30)[:, None]])
    labels = np.full(31, UNLABELLED)
    labels[:2] = [0, 1]
    found = seeded_kmeans(features, labels, n_clusters=6, seed=0)
    check_partition(found, 31)
    assert len(found.sizes) == 6


def test_means_are_the_means_of_the_members_and_zero_without_members() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5)).astype(np.float32)
    assignment = rng.choice([0, 1, 3, 6], 200)
    means = clustering._means(features, assignment, 8)
    assert means.shape == (8, 5)
    assert means.dtype == np.float32
    for k in range(8):
        members = features[assignment == k]
        np.testing.assert_allclose(means[k], members.mean(axis=0) if len(members) else 0, atol=1e-6)


def test_l2_gives_rows_of_length_one_and_whitening_uncorrelated_columns_of_variance_one(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    features = digits[0]
    unit = prepare(features, Clustering(l2=True), 0)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(unit * np.linalg.norm(features, axis=1, keepdims=True), features, atol=1e-5)
    white = prepare(features, Clustering(l2=False, whiten=20), 0)
    assert white.shape == (len(features), 20)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(20), atol=1e-3)
    both = prepare(features, Clustering(l2=True, whiten=20), 0)
    np.testing.assert_allclose(both, white / np.linalg.norm(white, axis=1, keepdims=True), atol=1e-5)
    for ready in (unit, white, both):
        assert ready.dtype == np.float32


def test_prepare_without_settings_changes_nothing_and_never_its_argument(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    features, before = digits[0], digits[0].copy()
    np.testing.assert_array_equal(prepare(features, Clustering(l2=False), 0), features)
    prepare(features, Clustering(l2=True, whiten=5), 0)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize(("shape", "most"), [((50, 8), 8), ((6, 8), 6)])
def test_whitening_to_more_components_than_there_are_is_refused(shape: tuple[int, int], most: int) -> None:
    features = np.random.default_rng(0).normal(size=shape)
    with pytest.raises(UserError, match=f"^clustering.whiten {most + 1}: features have at most {most} components$"):
        prepare(features, Clustering(whiten=most + 1), 0)
    assert prepare(features, Clustering(whiten=most), 0).shape == (shape[0], most)


@pytest.mark.parametrize("k", [1, 3, 100])
def test_nearest_points_are_those_of_brute_force(digits: tuple[np.ndarray, np.ndarray], k: int) -> None:
    features, centroids = digits[0][:400], digits[0][400:430] * 0.9
    near = nearest_points(features, centroids, k)
    assert near.shape == (30, k)
    distances = cdist(centroids, features)
    np.testing.assert_allclose(
        np.take_along_axis(distances, near, axis=1), np.sort(distances, axis=1)[:, :k], atol=1e-4, err_msg="in order"
    )
    assert all(len(set(row)) == k for row in near.tolist())


def test_votes_of_neighbours_and_members_are_counted_as_by_hand() -> None:
    features = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    clusters = Clusters(assignment=np.array([0, 0, 0, 1, 1, 1]), centroids=np.array([[1.0], [11.0]]), inertia=4.0)
    labels = np.array([2, -1, -1, 0, 1, -1])
    silent = np.zeros((6, 3))
    np.testing.assert_allclose(vote(clusters, features, labels, votes=silent, k=1), [[0, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(vote(clusters, features, labels, votes=silent, k=2), [[0.5, 0, 0.5], [0.5, 0.5, 0]])
    soft = silent.copy()
    soft[1], soft[5] = [0.0, 0.75, 0.25], [1.0, 0.0, 0.0]
    np.testing.assert_allclose(
        vote(clusters, features, labels, votes=soft, k=1),
        [[0, 0.75 / 2, 1.25 / 2], [0.5, 0.5, 0]],
        err_msg="members vote too",
    )


@pytest.mark.parametrize("k", [1, 5, 10_000])
@pytest.mark.parametrize("soft", [False, True])
def test_votes_are_shares_and_agree_with_brute_force(
    digits: tuple[np.ndarray, np.ndarray], few: np.ndarray, k: int, soft: bool
) -> None:
    features = digits[0]
    clusters = kmeans(features, 30, seed=0)
    votes = np.random.default_rng(0).dirichlet(np.ones(10), len(features)) * soft
    shares = vote(clusters, features, few, votes=votes, k=k)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.min() >= 0
    given = np.flatnonzero(few != UNLABELLED)
    for centroid, members, row in zip(
        clusters.centroids, (votes[clusters.assignment == c] for c in range(30)), shares, strict=True
    ):
        nearest = given[np.argsort(cdist([centroid], features[given])[0])[:k]]
        expected = np.bincount(few[nearest], minlength=10) + members.sum(axis=0)
        np.testing.assert_allclose(row, expected / expected.sum(), atol=1e-12)


def test_many_points_start_from_a_sample_and_end_as_good_as_scikit_learns() -> None:
    pixels = registry.read("MNIST", train=True).images[:12_000].flatten(1).numpy()
    features = normalize(PCA(20, random_state=0).fit_transform(pixels / 255)).astype(np.float32)
    reference = KMeans(50, n_init=1, random_state=3).fit(features).inertia_
    assert kmeans(features, 50, seed=3).inertia == pytest.approx(reference, rel=0.01)


def _moved(features: np.ndarray) -> np.ndarray:
    """Return other features of the same points, as a better network would give them."""
    return np.asarray(features + np.random.default_rng(1).normal(0, features.std() / 4, features.shape), np.float32)


def test_a_start_from_the_last_clusters_is_as_good_as_a_new_one_and_keeps_their_numbers(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    before, features = kmeans(digits[0], 40, seed=0), _moved(digits[0])
    warm = kmeans(features, 40, seed=0, previous=before.assignment)
    assert warm.inertia < 1.02 * KMeans(40, n_init=1, random_state=0).fit(features).inertia_
    assert (warm.assignment == before.assignment).mean() > 0.5  # a new start would number them anew: 1 / 40
    assert np.array_equal(warm.assignment, kmeans(features, 40, seed=7, previous=before.assignment).assignment)


@pytest.mark.parametrize(
    ("change", "warm"), [({}, True), ({"restarts": 2}, False), ({"n_clusters": 41}, False), ({"restarts": 1}, True)]
)
def test_only_a_single_start_of_as_many_clusters_is_taken_from_the_last_round(
    digits: tuple[np.ndarray, np.ndarray], change: dict[str, int], warm: bool
) -> None:
    features, labels = _moved(digits[0]), np.full(len(digits[0]), UNLABELLED)
    before, settings = kmeans(digits[0], 40, seed=0), Clustering.model_validate({"n_clusters": 40} | change)
    alone = cluster(features, labels, settings, seed=0)
    after = cluster(features, labels, settings, seed=0, previous=before)
    assert np.array_equal(after.centroids, alone.centroids) is not warm


def test_links_are_counted_as_by_hand() -> None:
    """Centroids at 0, 2 and 5: a point at 0.5, three times as far from the next as from its own; and two more."""
    clusters = Clusters(assignment=np.array([0, 1, 2]), centroids=np.array([[0.0], [2.0], [5.0]]), inertia=0.0)
    features = np.array([[0.5], [1.5], [4.0]])
    near = {(0, 1): 2 * np.exp(-(2.0**2)), (1, 2): np.exp(-1.0)}
    far = {(0, 1): near[0, 1], (0, 2): np.exp(-(8.0**2)) + np.exp(-(3.0**2)), (1, 2): near[1, 2] + np.exp(-(6.0**2))}
    for k, expected in ((1, near), (2, far), (9, far)):
        table = np.zeros((3, 3))
        for (a, b), weight in expected.items():
            table[a, b] = table[b, a] = weight
        np.testing.assert_allclose(links(clusters, features, k).toarray(), table, rtol=1e-6)


def test_one_cluster_has_no_links_and_its_classes_weigh_the_same() -> None:
    alone = links(
        Clusters(assignment=np.zeros(4, dtype=np.int64), centroids=np.zeros((1, 2)), inertia=0.0), np.ones((4, 2))
    )
    assert alone.shape == (1, 1)
    np.testing.assert_allclose(propagate_labels(alone, np.array([[3.0, 1.0]])), [[0.5, 0.5]])
    np.testing.assert_allclose(propagate_labels(alone, np.array([[3.0, 0.0]])), [[1.0, 0.0]])


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_law_few_labels_never_make_one_class_take_the_others_clusters(
    digits: tuple[np.ndarray, np.ndarray], share: float
) -> None:
    """Twenty labels drawn as they come: each class has the same mass in the end, whatever it had in votes."""
    features, truth = digits
    for seed in range(1_000, 1_005):
        clusters = kmeans(features, 60, seed=seed)
        graph, votes = links(clusters, features, 5), np.zeros((60, 10))
        given = np.random.default_rng(seed).permutation(len(truth))[:20]
        np.add.at(votes, (clusters.assignment[given], truth[given]), 1.0)
        shares = propagate_labels(graph, votes, share)
        heavier = propagate_labels(graph, votes * np.linspace(1, 50, 10), share)
        np.testing.assert_allclose(heavier, shares, rtol=1e-9)
        named = np.bincount(shares.argmax(axis=1)[clusters.assignment], minlength=10)
        assert named.max() < 0.35 * len(truth)


def test_votes_spread_to_the_clusters_that_are_linked_and_to_no_others() -> None:
    """A chain 0 – 1 – 2 – 3 with a vote at each end, and two linked clusters that no vote reaches."""
    graph = np.zeros((6, 6))
    for a, b in ((0, 1), (1, 2), (2, 3), (4, 5)):
        graph[a, b] = graph[b, a] = 1.0
    votes = np.zeros((6, 2))
    votes[0, 0] = votes[3, 1] = 1.0
    shares = propagate_labels(csr_array(graph), votes)
    assert shares[:4].argmax(axis=1).tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(shares[:4].sum(axis=1), 1)
    np.testing.assert_allclose(shares[0], shares[3][::-1])
    assert shares[0, 0] > shares[1, 0] > 0.5
    assert (shares[4:] == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_spreading_solves_the_equation_that_it_names(digits: tuple[np.ndarray, np.ndarray], share: float) -> None:
    clusters = kmeans(digits[0], 30, seed=0)
    graph = links(clusters, digits[0], 2)
    votes = np.random.default_rng(0).integers(0, 3, (30, 10)).astype(float) + np.eye(30, 10)
    degree = graph.toarray().sum(axis=1)
    system = graph.toarray() / np.sqrt(np.outer(degree, degree))
    reached = votes.copy()
    for _ in range(3_000):
        reached = share * system @ reached + (1 - share) * votes
    with np.errstate(invalid="ignore"):
        equal = np.nan_to_num(reached / reached.sum(axis=0))  # a class without a vote stays without
        expected = np.nan_to_num(equal / equal.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(propagate_labels(graph, votes, share), expected, atol=1e-8)


MEASURE = """
import resource
import numpy as np
from kmpl.config.experiment import Clustering
from kmpl.method.cluster_graph import vote
from kmpl.method.kmeans import cluster, prepare

N, D, C = 60_000, 512, 10
rng = np.random.default_rng(0)
centres = rng.normal(size=(200, D)).astype(np.float32)
features = np.empty((N, D), dtype=np.float32)
for block in np.array_split(np.arange(N), 60):
    features[block] = centres[block % 200] + 0.5 * rng.standard_normal((len(block), D), dtype=np.float32)
labels = np.where(np.arange(N) < 3_000, np.arange(N) % C, -1)
votes = np.full((N, C), 1 / C)
settings = Clustering(algorithm="{algorithm}", n_clusters=200)
small = prepare(features[:4_000], settings, 0)
vote(cluster(small, labels[:4_000], settings, seed=0), small, labels[:4_000], votes=votes[:4_000], k=5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ready = prepare(features, settings, 0)
vote(cluster(ready, labels, settings, seed=0), ready, labels, votes=votes, k=5)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * {unit})
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is Unix's")
@pytest.mark.parametrize("algorithm", ["kmeans", "mini-batch", "seeded"])
def test_sixty_thousand_deep_features_are_clustered_and_voted_on_within_two_gigabytes(algorithm: str) -> None:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes on Linux
    code = MEASURE.format(algorithm=algorithm, unit=unit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 * 1024**3
