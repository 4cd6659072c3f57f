"""Strategies: laws that hold for each of them, and what each one is by definition."""

import inspect
import tracemalloc
import warnings
from dataclasses import fields, replace
from typing import Any, get_type_hints

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_circles
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading

from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.strategies import STRATEGIES, Strategy
from kmpl.datasets import registry
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.method.kmeans import cluster, kmeans, prepare
from kmpl.method.label_spreading import spread_over_images
from kmpl.method.pseudo_labels import Evidence, Guess, assign, self_training
from kmpl.method.results import Clusters, PseudoLabels

CLUSTERING = Clustering(n_clusters=40, n_prototypes=20)
UNSURE = PseudoLabelling(threshold=0.0, k=3)


def evidence(features: np.ndarray, true: np.ndarray, labelled: int) -> Evidence:
    """Return evidence whose first points are labelled and whose network is a logistic regression on those."""
    model = LogisticRegression(max_iter=1_000).fit(features[:labelled], true[:labelled])
    labels = np.where(np.arange(len(true)) < labelled, true, UNLABELLED)
    return Evidence(
        features=prepare(features, CLUSTERING, 0),
        probabilities=model.predict_proba(features),
        labels=labels,
        clustering=CLUSTERING,
        settings=UNSURE,
        seed=0,
    )


@pytest.fixture(scope="module")
def problems() -> dict[str, tuple[Evidence, np.ndarray]]:
    """Evidence, and apart from it the true classes: four Gaussian blobs, and 600 real digits in 30 components."""
    points, classes = make_blobs(400, n_features=8, centers=4, cluster_std=4.0, random_state=0)
    data = registry.read("MNIST", train=True)
    pixels, digits = data.images[:600].flatten(1).numpy() / 255, data.labels[:600].numpy()
    small = PCA(30, random_state=0).fit_transform(pixels)
    return {"blobs": (evidence(points, classes, 40), classes), "digits": (evidence(small, digits, 100), digits)}


@pytest.fixture(params=["blobs", "digits"])
def problem(request: pytest.FixtureRequest, problems: dict[str, tuple[Evidence, np.ndarray]]) -> Evidence:
    return problems[request.param][0]


def changed(e: Evidence, **settings: Any) -> Evidence:
    return replace(e, settings=e.settings.model_copy(update=settings))


def from_probabilities(probabilities: list[list[float]], labels: list[int], threshold: float) -> Evidence:
    """Return evidence for self-training, in which the network's word is all that counts."""
    settings = PseudoLabelling(strategy="self-training", threshold=threshold)
    return Evidence(
        features=np.zeros((len(labels), 2), np.float32),
        probabilities=np.array(probabilities),
        labels=np.array(labels),
        clustering=CLUSTERING,
        settings=settings,
        seed=0,
    )


def guess_by(strategy: str, evidence: Evidence) -> Guess:
    """Return what a strategy of that name makes of the evidence."""
    guess: Guess = STRATEGIES[strategy].load()(evidence)
    return guess


every_strategy = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


@every_strategy
@pytest.mark.parametrize("threshold", [0.0, 0.9, 1.0])
def test_given_labels_never_change(problem: Evidence, strategy: str, threshold: float) -> None:
    given = problem.labelled
    wrong = replace(problem, probabilities=np.roll(problem.probabilities, 1, axis=1))  # a network that is always wrong
    for e in (problem, wrong):
        found = assign(changed(e, strategy=strategy, threshold=threshold, graph_threshold=threshold), None, 1)
        for classes in (found.classes, found.guesses):
            np.testing.assert_array_equal(classes[given], e.labels[given])
        assert (found.confidence[given] == 1).all()
        assert (found.rounds[given] == 0).all()


@every_strategy
def test_results_have_their_promised_ranges(problem: Evidence, strategy: str) -> None:
    guess = guess_by(strategy, problem)
    n, n_classes = problem.probabilities.shape
    assert guess.classes.shape == guess.confidence.shape == (n,)
    assert np.issubdtype(guess.classes.dtype, np.integer)
    assert set(guess.classes) <= {UNLABELLED, *range(n_classes)}
    assert (guess.confidence[guess.classes == UNLABELLED] == 0).all(), "who has no class is reached by no label"
    assert np.isfinite(guess.confidence).all()
    assert guess.confidence.min() >= 0
    assert guess.confidence.max() <= 1
    assert (guess.clusters is not None) == (STRATEGIES[strategy].needs == "clusters")
    found = assign(changed(problem, strategy=strategy), None, 1)
    assert found.classes.dtype == found.guesses.dtype == found.rounds.dtype == np.int64


@every_strategy
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 1.0])
def test_exactly_the_images_below_the_threshold_are_left_out(
    problem: Evidence, strategy: str, threshold: float
) -> None:
    # The graph of clusters, where labels are few, has a threshold of its own.
    names = ("threshold", "graph_threshold")
    which, other = names[::-1] if guess_by(strategy, problem).propagated else names
    found = assign(changed(problem, strategy=strategy, **{which: threshold, other: 1.0}), None, 1)
    free = problem.labels == UNLABELLED
    sure = (found.confidence >= threshold) & (found.confidence > 0)
    np.testing.assert_array_equal(found.kept[free], sure[free])
    np.testing.assert_array_equal(found.classes[found.kept], found.guesses[found.kept])
    assert (found.classes[~found.kept] == UNLABELLED).all()
    assert (found.rounds[~found.kept] == UNLABELLED).all()
    assert found.assigned == (found.kept & free).sum()


@every_strategy
def test_the_same_evidence_gives_the_same_bits(problem: Evidence, strategy: str) -> None:
    one, two = (assign(changed(problem, strategy=strategy), None, 1) for _ in range(2))
    for name in ("classes", "guesses", "confidence", "rounds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@every_strategy
def test_the_evidence_is_not_changed(problem: Evidence, strategy: str) -> None:
    arrays = (problem.features, problem.probabilities, problem.labels)
    before = [array.copy() for array in arrays]
    assign(changed(problem, strategy=strategy), None, 1)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_strategy
@pytest.mark.parametrize("name", ["blobs", "digits"])
def test_guesses_are_far_better_than_chance_and_surer_where_they_are_right(
    problems: dict[str, tuple[Evidence, np.ndarray]], strategy: str, name: str
) -> None:
    e, true = problems[name]
    found = assign(changed(e, strategy=strategy, k=5), None, 1)
    free = e.labels == UNLABELLED
    right, confidence = (found.guesses == true)[free], found.confidence[free]
    assert right.mean() > 2 / e.probabilities.shape[1]
    assert confidence[right].mean() > confidence[~right].mean() + 0.02


def test_no_strategy_is_handed_a_true_label_of_an_unlabelled_image(problem: Evidence) -> None:
    names = {field.name for field in fields(Evidence)}
    known = {"features", "probabilities", "labels", "certainty", "clustering", "settings", "seed", "previous", "frozen"}
    assert names == known
    assert (np.delete(problem.labels, problem.labelled) == UNLABELLED).all()
    assert {field.name for field in fields(Clusters)} == {"assignment", "centroids", "inertia"}
    assert list(inspect.signature(assign).parameters) == ["evidence", "previous", "number"]
    for strategy in STRATEGIES.values():
        assert get_type_hints(strategy.load()) == {"e": Evidence, "return": Guess}


@pytest.mark.parametrize("strategy", ["prototype-knn", "label-spreading"])
def test_a_class_without_a_label_is_never_guessed_and_the_others_keep_their_numbers(
    problems: dict[str, tuple[Evidence, np.ndarray]], strategy: str
) -> None:
    e, true = problems["blobs"]
    gap = replace(e, labels=np.where(e.labels == 1, UNLABELLED, e.labels))
    guesses = guess_by(strategy, gap).classes
    assert set(guesses) - {UNLABELLED} == {0, 2, 3}
    others = true != 1
    assert (guesses[others] == true[others]).mean() > 0.6


def test_an_unknown_strategy_names_the_nearest(problem: Evidence) -> None:
    with pytest.raises(UserError, match="unknown strategy 'concensus'; did you mean 'consensus'") as caught:
        assign(changed(problem, strategy="concensus"), None, 1)
    assert all(name in str(caught.value) for name in STRATEGIES)


def test_rounds_say_when_the_present_class_was_assigned() -> None:
    labels = [1, -1, -1, -1, -1, -1]
    first = from_probabilities([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], labels, 0.8)
    one = assign(first, None, 1)
    assert one.classes.tolist() == [1, 0, 0, 0, -1, -1]
    assert one.guesses.tolist() == [1, 0, 0, 0, 0, 0]
    assert one.rounds.tolist() == [0, 1, 1, 1, -1, -1]
    second = from_probabilities([[0.9, 0.1], [0.95, 0.05], [0.1, 0.9], [0.7, 0.3], [0.9, 0.1], [0.6, 0.4]], labels, 0.8)
    two = assign(second, one, 2)
    assert two.classes.tolist() == [1, 0, 1, -1, 0, -1]
    assert two.rounds.tolist() == [0, 1, 2, -1, 2, -1], "stays, changes, falls out, comes in, stays out"
    back = assign(first, two, 3)
    assert back.rounds.tolist() == [0, 1, 3, 3, -1, -1], "who fell out and comes back is new"
    assert (one.assigned, two.assigned, back.assigned) == (3, 3, 3)


def test_confidence_at_the_threshold_is_enough_but_none_at_all_is_not() -> None:
    found = assign(from_probabilities([[1.0, 0.0], [0.8, 0.2], [0.79, 0.21]], [0, -1, -1], 0.8), None, 1)
    assert found.kept.tolist() == [True, True, False]
    nothing = assign(from_probabilities([[1.0, 0.0], [0.0, 0.0]], [0, -1], 0.0), None, 1)
    assert nothing.kept.tolist() == [True, False]


def test_self_training_is_the_networks_argmax(problem: Evidence) -> None:
    guess = guess_by("self-training", problem)
    np.testing.assert_array_equal(guess.classes, problem.probabilities.argmax(axis=1))
    np.testing.assert_array_equal(guess.confidence, problem.probabilities.max(axis=1))


@pytest.mark.parametrize("algorithm", ["kmeans", "mini-batch", "seeded"])
def test_consensus_keeps_nothing_on_which_cluster_and_network_disagree(problem: Evidence, algorithm: str) -> None:
    e = replace(problem, clustering=problem.clustering.model_copy(update={"algorithm": algorithm}))
    votes, network, both = (guess_by(name, e) for name in ("cluster-vote", "self-training", "consensus"))
    disagree = votes.classes != network.classes
    free = e.labels == UNLABELLED
    assert (disagree & free).any(), "otherwise this shows nothing"
    found = assign(changed(e, strategy="consensus", threshold=0.0), None, 1)
    assert not found.kept[disagree & free].any()
    assert found.kept[~disagree].all()
    agreed = np.minimum(votes.confidence, network.confidence)
    np.testing.assert_array_equal(both.confidence, np.where(disagree, 0, agreed))
    np.testing.assert_array_equal(both.classes[~disagree], network.classes[~disagree])


def test_cluster_vote_gives_all_members_of_a_cluster_one_class_and_one_confidence(problem: Evidence) -> None:
    guess = guess_by("cluster-vote", problem)
    assert guess.clusters is not None
    expected = cluster(problem.features, problem.labels, problem.clustering, seed=problem.seed)
    np.testing.assert_array_equal(guess.clusters.assignment, expected.assignment)
    for k in range(len(guess.clusters.sizes)):
        members = guess.clusters.assignment == k
        assert len(set(guess.classes[members])) == len(set(guess.confidence[members])) == 1


def test_cluster_vote_hears_the_network_only_if_votes_are_soft(problem: Evidence) -> None:
    wrong = replace(problem, probabilities=np.roll(problem.probabilities, 1, axis=1))

    def guess(e: Evidence, soft: bool) -> np.ndarray:
        return guess_by("cluster-vote", changed(e, soft_votes=soft)).classes

    np.testing.assert_array_equal(guess(problem, soft=False), guess(wrong, soft=False))
    assert (guess(problem, soft=True) != guess(wrong, soft=True)).any()


def test_cluster_vote_counts_labelled_members_by_their_label_not_by_the_network() -> None:
    """Five labelled members of class 1 in one cluster outvote a network that calls all of them and the rest 0."""
    probabilities = np.tile([[0.6, 0.4]], (7, 1))
    settings = PseudoLabelling(strategy="cluster-vote", threshold=0.0, k=1)
    labels = np.array([1, 1, 1, 1, 1, -1, -1])
    e = Evidence(
        features=np.zeros((7, 2), np.float32),
        probabilities=probabilities,
        labels=labels,
        clustering=Clustering(n_clusters=1),
        settings=settings,
        seed=0,
    )
    guess = guess_by("cluster-vote", e)
    assert (guess.classes == 1).all()
    np.testing.assert_allclose(guess.confidence, (1 + 5 + 2 * 0.4) / 8)


def test_cluster_graph_asks_the_network_where_labels_are_enough_to_teach_it(problem: Evidence) -> None:
    """Below 0.3 labels a cluster the graph alone; then graph and network must agree; from two on it is consensus."""
    wrong = replace(problem, probabilities=np.roll(problem.probabilities, 1, axis=1))

    def guesses(e: Evidence, n_clusters: int) -> list[Guess]:
        e = replace(e, clustering=e.clustering.model_copy(update={"n_clusters": n_clusters}))
        return [guess_by(name, e) for name in ("cluster-graph", "consensus")]

    labels = len(problem.labelled)
    for n_clusters, asked in ((labels // 2, True), (labels // 2 + 1, True), (3 * labels, True), (4 * labels, False)):
        (guess, agreed), (other, _) = guesses(problem, n_clusters), guesses(wrong, n_clusters)
        assert np.array_equal(guess.confidence, agreed.confidence) == (n_clusters == labels // 2)
        assert np.array_equal(guess.confidence, other.confidence) != asked
        assert guess.propagated != asked
        assert np.array_equal(guess.classes, other.classes) or n_clusters == labels // 2
    (guess, _) = guesses(problem, labels)
    agree = guess.classes == problem.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(guess.confidence, np.where(agree, problem.probabilities.max(axis=1), 0))


def test_cluster_graph_names_clusters_without_a_label_by_those_they_touch() -> None:
    """Two rings, one labelled image on each: distance to a labelled image says little, the way along the ring all."""
    points, classes = make_circles(1_200, factor=0.5, noise=0.02, random_state=0)
    labels = np.full(1_200, UNLABELLED)
    for c in (0, 1):
        labels[np.flatnonzero(classes == c)[0]] = c
    settings = PseudoLabelling(threshold=0.0, k=2)
    e = Evidence(
        features=points.astype(np.float32),
        probabilities=np.full((1_200, 2), 0.5),
        labels=labels,
        clustering=Clustering(n_clusters=80),
        settings=settings,
        seed=0,
    )
    right = {name: (guess_by(name, e).classes == classes).mean() for name in ("cluster-graph", "cluster-vote")}
    assert right["cluster-graph"] > 0.99
    assert right["cluster-vote"] < 0.8


def prototypes(e: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Return the notebook's prototypes and their labels, written as its text says: K-means, then ``cdist``."""
    features, labels = e.features[e.labelled], e.labels[e.labelled]
    centroids = kmeans(features, e.clustering.n_prototypes, seed=e.seed).centroids
    reference = KMeans(e.clustering.n_prototypes, n_init=1, random_state=e.seed).fit(features).cluster_centers_
    np.testing.assert_allclose(centroids, reference, atol=1e-5)
    nearest = sorted(set(cdist(reference, features).argmin(axis=1)))
    return features[nearest], labels[nearest]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prototype_knn_is_the_notebooks_way(problem: Evidence, k: int) -> None:
    guess = guess_by("prototype-knn", changed(problem, k=k))
    knn = KNeighborsClassifier(k).fit(*prototypes(problem))
    np.testing.assert_array_equal(guess.classes, knn.predict(problem.features))
    np.testing.assert_allclose(guess.confidence, knn.predict_proba(problem.features).max(axis=1))


def test_clustering_the_unlabelled_features_as_the_notebook_does_changes_nothing(problem: Evidence) -> None:
    """Predicting cluster by cluster is predicting all at once, whatever the number of clusters."""
    guess = guess_by("prototype-knn", changed(problem, k=3))
    knn = KNeighborsClassifier(3).fit(*prototypes(problem))
    unlabelled = np.flatnonzero(problem.labels == UNLABELLED)
    for n_clusters in (2, 20):
        groups = kmeans(problem.features[unlabelled], n_clusters, seed=1).assignment
        for group in range(n_clusters):
            members = unlabelled[groups == group]
            np.testing.assert_array_equal(knn.predict(problem.features[members]), guess.classes[members])


def test_prototype_knn_does_not_listen_to_the_network(problem: Evidence) -> None:
    deaf = replace(problem, probabilities=np.full_like(problem.probabilities, 0.1))
    one, two = (guess_by("prototype-knn", e) for e in (problem, deaf))
    np.testing.assert_array_equal(one.classes, two.classes)


def test_more_voters_than_prototypes_are_refused(problem: Evidence) -> None:
    count = len(prototypes(problem)[0])
    with pytest.raises(UserError, match=f"^pseudo_labels.k {count + 1}: there are {count} prototypes; give no more$"):
        guess_by("prototype-knn", changed(problem, k=count + 1))
    guess_by("prototype-knn", changed(problem, k=count))


def test_more_prototypes_than_labelled_images_are_refused(problem: Evidence) -> None:
    count = len(problem.labelled)
    e = replace(problem, clustering=Clustering(n_prototypes=count + 1))
    with pytest.raises(UserError, match=f"{count + 1}: there are {count} points; give 1 to {count}"):
        guess_by("prototype-knn", e)


def two_islands(n: int) -> Evidence:
    """Return two groups far apart, of which only the first has labels."""
    features, island = make_blobs(n, n_features=4, centers=[[0] * 4, [100] * 4], random_state=0)
    labels = np.full(n, UNLABELLED)
    here = np.flatnonzero(island == 0)
    labels[here[:20]] = np.arange(20) % 2
    settings = PseudoLabelling(strategy="label-spreading", threshold=0.0)
    return Evidence(
        features=features.astype(np.float32),
        probabilities=np.full((n, 2), 0.5),
        labels=labels,
        clustering=CLUSTERING,
        settings=settings,
        seed=0,
    )


def test_label_spreading_has_no_confidence_where_no_label_reaches_and_leaves_those_points_out() -> None:
    e = two_islands(300)
    cut_off = e.features[:, 0] > 50
    guess = guess_by("label-spreading", e)
    assert (guess.confidence[cut_off] == 0).all()
    assert (guess.classes[cut_off] == UNLABELLED).all(), "not the first class: nobody has named them"
    assert (guess.confidence[~cut_off] >= 0.5).mean() > 0.9
    assert not assign(e, None, 1).kept[cut_off].any()


@pytest.mark.parametrize("length", [50, 1_000])
def test_label_spreading_follows_the_graph_to_its_end_where_straight_distance_would_not(length: int) -> None:
    """Two parallel chains labelled at opposite ends: the far end of a chain is nearer to the other chain's label.

    The long ones have 250 steps and more from end to end; what stops earlier calls one end of them the first class.
    """
    along = np.arange(length) * 5 / length
    features = np.concatenate([np.stack([along, np.full(length, y)], axis=1) for y in (0.0, 1.0)]).astype(np.float32)
    labels = np.full(2 * length, UNLABELLED)
    labels[0], labels[-1] = 0, 1
    e = Evidence(
        features=features,
        probabilities=np.full((2 * length, 2), 0.5),
        labels=labels,
        clustering=CLUSTERING,
        settings=PseudoLabelling(),
        seed=0,
    )
    guess, chain = guess_by("label-spreading", e), np.repeat([0, 1], length)
    straight = cdist(features, features[[0, -1]]).argmin(axis=1)
    assert (straight != chain).mean() > 0.4, "otherwise this shows nothing"
    np.testing.assert_array_equal(guess.classes, chain)
    assert (guess.confidence > 0).all()


def test_label_spreading_reaches_all_that_hang_together_where_scikit_learn_stops_without_a_word() -> None:
    """If scikit-learn's part of this ends, scikit-learn has mended it and the docstring of our own may be shortened."""
    data = registry.read("MNIST", train=True)
    drawn = np.random.default_rng(1000).permutation(60_000)[:3_000]
    pixels, digits = data.images[drawn].flatten(1).numpy() / 255, data.labels[drawn].numpy()
    labels = np.full(3_000, UNLABELLED)
    labels[[int(np.flatnonzero(digits == c)[0]) for c in range(10)]] = np.arange(10)
    with warnings.catch_warnings(action="error"):
        theirs = LabelSpreading(kernel="knn").fit(pixels, labels)
    assert theirs.n_iter_ < 10
    forgotten = theirs.label_distributions_.sum(axis=1) == 0
    assert forgotten.sum() > 100
    assert (theirs.transduction_[forgotten] == 0).all()
    classes, shares = spread_over_images(pixels, labels)
    assert classes.tolist() == list(range(10))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_a_cluster_that_no_label_reaches_has_no_class() -> None:
    e = replace(two_islands(300), clustering=Clustering(n_clusters=100))
    guess = guess_by("cluster-graph", e)
    cut_off = e.features[:, 0] > 50
    assert (guess.confidence[cut_off] == 0).all()
    assert (guess.classes[cut_off] == UNLABELLED).all()
    assert {0, 1} <= set(guess.classes[~cut_off])


def test_label_spreading_takes_more_neighbours_than_points_as_all_of_them() -> None:
    e = two_islands(60)
    some = np.concatenate([e.labelled[:4], np.flatnonzero(e.labels == UNLABELLED)[:2]])  # six points, seven neighbours
    few = replace(e, features=e.features[some], probabilities=e.probabilities[some], labels=e.labels[some])
    assert np.isfinite(guess_by("label-spreading", few).confidence).all()


@pytest.mark.parametrize("k", [1, 2, 30])
def test_the_graph_of_label_spreading_has_seven_neighbours_however_many_vote_in_a_cluster(
    problem: Evidence, k: int
) -> None:
    by_hand = LabelSpreading(kernel="knn", n_neighbors=7 + 1, alpha=0.9, max_iter=1_000, tol=0)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        by_hand.fit(problem.features, problem.labels)
    guess = guess_by("label-spreading", changed(problem, k=k))
    reached = guess.confidence > 0
    assert reached.mean() > 0.95
    np.testing.assert_array_equal(guess.classes[reached], by_hand.transduction_[reached])
    assert (by_hand.label_distributions_[~reached] == 0).all(), "with iterations without end neither"


def test_label_spreading_never_holds_all_pairs_of_points() -> None:
    n = 20_000
    e = two_islands(n)
    tracemalloc.start()
    try:
        guess_by("label-spreading", e)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 1_000 * n < 100_000_000 > peak, "one byte per pair would be 400 MB"


def test_a_new_strategy_is_a_function_and_a_line(problem: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "mine", Strategy("mine", self_training))
    mine: PseudoLabels = assign(changed(problem, strategy="mine"), None, 1)
    np.testing.assert_array_equal(mine.guesses, assign(changed(problem, strategy="self-training"), None, 1).guesses)
