"""The estimator keeps scikit-learn's habits and kmpl's laws, on data sets that scikit-learn ships."""

import inspect
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from kmpl import KMeansPseudoLabeller
from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.config.strategies import STRATEGIES

Data = tuple[np.ndarray, np.ndarray]

# Each check that does not apply, and why.
EXEMPTED = {
    "check_classifiers_classes": (
        "takes −1 and 1 as classes, and −1 is no class here; scikit-learn makes the same exception for its own "
        "semi-supervised classifiers, by name"
    )
}


@parametrize_with_checks(
    [KMeansPseudoLabeller(), KMeansPseudoLabeller(strategy="cluster-graph")],
    expected_failed_checks=lambda _: EXEMPTED,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def hide(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return y with all labels −1 but ``n``, as many of each class as can be."""
    rng, classes = np.random.default_rng(seed), np.unique(y)
    order = [rng.permutation(np.flatnonzero(y == c)) for c in classes]
    some = [order[i % len(classes)][i // len(classes)] for i in range(n)]
    hidden = np.full(len(y), -1)
    hidden[some] = y[some]
    return hidden


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def few(digits: Data) -> Data:
    """Six hundred digits, fifty of them labelled."""
    X, y = digits[0][:600], digits[1][:600]
    return X, hide(y, 50, 1000)


@pytest.fixture(scope="module")
def fitted(few: Data) -> KMeansPseudoLabeller:
    return KMeansPseudoLabeller(random_state=0).fit(*few)


def gains(X: np.ndarray, y: np.ndarray, labels: int) -> np.ndarray:
    """Return by how much the unlabelled samples are better classified than from the labels alone, for five draws."""
    gain = []
    for seed in range(1000, 1005):
        few = hide(y, labels, seed)
        rest = few == -1
        plain = LogisticRegression(max_iter=10_000).fit(X[~rest], y[~rest])
        model = KMeansPseudoLabeller(random_state=seed).fit(X, few)
        gain.append(model.score(X[rest], y[rest]) - plain.score(X[rest], y[rest]))
    return np.array(gain)


def test_digits_are_classified_better_than_from_50_labels_alone(digits: Data) -> None:
    gain = gains(*digits, labels=50)
    assert gain.mean() > 0.04
    assert gain.min() > 0


def test_breast_cancer_is_classified_better_than_from_20_labels_alone() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    assert gains(StandardScaler().fit_transform(X), y, labels=20).mean() > 0.005


def test_wine_is_classified_no_worse_than_from_20_labels_alone() -> None:
    X, y = load_wine(return_X_y=True)
    assert gains(StandardScaler().fit_transform(X), y, labels=20).mean() > -0.005


def test_mnist_embedded_by_anybody_is_classified_better() -> None:
    from sklearn.decomposition import PCA

    from kmpl.datasets import mnist

    data = mnist.read(train=True)
    X = PCA(30, random_state=0).fit_transform(data.images[:1500].reshape(1500, -1).numpy() / 255)
    y = data.labels[:1500].numpy()
    few = hide(y, 50, 1000)
    rest = few == -1
    plain = LogisticRegression(max_iter=10_000).fit(X[~rest], y[~rest]).score(X[rest], y[rest])
    assert KMeansPseudoLabeller(random_state=0).fit(X, few).score(X[rest], y[rest]) > plain + 0.02


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_law_2_given_labels_never_change(few: Data, strategy: str) -> None:
    X, y = few
    model = KMeansPseudoLabeller(strategy=strategy, rounds=2, random_state=0).fit(X, y)
    given = y != -1
    assert np.array_equal(model.transduction_[given], y[given])
    assert (model.label_confidence_[given] == 1).all()
    assert (model.labeled_iter_[given] == 0).all()
    assert (model.labeled_iter_[~given] != 0).all()
    assert np.array_equal(model.transduction_ == -1, model.labeled_iter_ == -1)
    assert (model.labeled_iter_ > 0).sum() > 300


def test_law_3_the_same_random_state_gives_the_same_bits(few: Data, fitted: KMeansPseudoLabeller) -> None:
    again, other = clone(fitted).fit(*few), clone(fitted).set_params(random_state=1).fit(*few)
    for name in ("transduction_", "label_confidence_", "labeled_iter_", "clusters_", "cluster_centers_"):
        assert np.array_equal(getattr(again, name), getattr(fitted, name)), name
    assert np.array_equal(again.predict_proba(few[0]), fitted.predict_proba(few[0]))
    assert not np.array_equal(other.predict_proba(few[0]), fitted.predict_proba(few[0]))


def test_law_4_without_pseudo_labels_it_is_the_plain_classifier(few: Data) -> None:
    X, y = few
    plain = LogisticRegression(max_iter=10_000).fit(X[y != -1], y[y != -1])
    model = KMeansPseudoLabeller(threshold=1.0, random_state=0).fit(X, y)
    assert np.array_equal(model.estimator_.coef_, plain.coef_)
    assert np.array_equal(model.transduction_, y)
    assert (model.n_iter_, model.clusters_) == (0, None)
    assert model.termination_condition_ == "round 1: no pseudo-label reached the threshold"


@pytest.mark.parametrize(
    ("kind", "like"), [(bool, np.float32), (np.float16, np.float32), (np.uint8, float), (np.int8, float)]
)
def test_any_kind_of_numbers_gives_what_the_same_numbers_give_as_floats(digits: Data, kind: Any, like: Any) -> None:
    X, y = (digits[0][:200] > 8) if kind is bool else digits[0][:200] + 1, hide(digits[1][:200], 40, 1000)
    one, other = (KMeansPseudoLabeller(rounds=1, random_state=0).fit(X.astype(t), y) for t in (kind, like))
    assert np.array_equal(one.transduction_, other.transduction_)
    assert np.array_equal(one.predict(X.astype(kind)), other.predict(X.astype(like)))
    assert np.allclose(one.predict_proba(X.astype(kind)), other.predict_proba(X.astype(like)), atol=1e-3)


def test_columns_of_dummies_and_strings_as_pandas_gives_them(digits: Data) -> None:
    X = pd.get_dummies(pd.DataFrame(digits[0][:200, 20:25].astype(int).astype(str)))
    y = hide(digits[1][:200], 40, 1000)
    model = KMeansPseudoLabeller(rounds=1, random_state=0).fit(X, y)
    assert model.predict(X).shape == (200,)
    with pytest.raises(ValueError, match=re.escape('y has "-1" among strings')):
        model.fit(X, pd.Series(y.astype(str)))
    with pytest.raises(ValueError, match=re.escape('y has "-1" among strings')):
        model.score(X, pd.Series(y.astype(str)))


def test_where_every_sample_has_a_label_it_is_the_plain_classifier(digits: Data) -> None:
    X, y = digits[0][:300], digits[1][:300]
    model = KMeansPseudoLabeller(random_state=0).fit(X, y)
    assert np.array_equal(model.estimator_.coef_, LogisticRegression(max_iter=10_000).fit(X, y).coef_)
    assert np.array_equal(model.transduction_, y)
    assert (model.n_iter_, model.termination_condition_) == (0, "every sample has a label")


@pytest.mark.parametrize(("strategy", "alike"), [("label-spreading", 1.0), ("self-training", 1.0), ("consensus", 0.95)])
def test_permuted_samples_get_permuted_labels(few: Data, strategy: str, alike: float) -> None:
    """K-means starts from samples by their place, so that the strategies that cluster may differ in a few."""
    X, y = few
    order = np.random.default_rng(5).permutation(len(y))
    model = KMeansPseudoLabeller(strategy=strategy, random_state=0)
    straight, permuted = clone(model).fit(X, y), clone(model).fit(X[order], y[order])
    both = (straight.transduction_[order] != -1) & (permuted.transduction_ != -1)
    assert both.mean() > 0.7
    assert np.mean(straight.transduction_[order][both] == permuted.transduction_[both]) >= alike


def test_fit_leaves_its_arguments_unchanged(few: Data) -> None:
    X, y = few[0].copy(), few[1].copy()
    KMeansPseudoLabeller(random_state=0).fit(X, y)
    assert np.array_equal(X, few[0])
    assert np.array_equal(y, few[1])


def test_attributes_fit_together(few: Data, fitted: KMeansPseudoLabeller) -> None:
    X = few[0]
    assert fitted.n_features_in_ == 64
    assert fitted.classes_.tolist() == list(range(10))
    assert fitted.clusters_ is not None
    assert fitted.cluster_centers_ is not None
    assert len(fitted.cluster_centers_) == 30  # one for each 20 samples
    assert np.array_equal(np.unique(fitted.clusters_), np.arange(30))
    assert 1 <= fitted.n_iter_ <= 3
    assert np.allclose(fitted.predict_proba(X).sum(axis=1), 1)
    assert np.array_equal(fitted.classes_[fitted.predict_proba(X).argmax(axis=1)], fitted.predict(X))


def test_strings_are_classes_and_minus_one_is_none(few: Data, fitted: KMeansPseudoLabeller) -> None:
    X, y = few
    names = np.array([*"abcdefghij"], dtype=object)
    worded = np.where(y == -1, -1, names[y]).astype(object)
    model = clone(fitted).fit(X, worded)
    left = fitted.transduction_ == -1
    assert np.array_equal(model.predict(X), names[fitted.predict(X)])
    assert np.array_equal(model.transduction_[~left], names[fitted.transduction_[~left]])
    assert set(model.transduction_[left]) <= {-1}
    assert model.score(X, worded) == fitted.score(X, y)


@pytest.mark.parametrize("dtype", [str, object])
def test_strings_without_minus_one_are_classes(dtype: type) -> None:
    """That part of the exempted check that applies."""
    X, y = make_blobs(30, random_state=0, cluster_std=0.1)
    named = np.array(["one", "two", "three"])[y].astype(dtype)
    model = KMeansPseudoLabeller().fit(X, named)
    assert model.classes_.tolist() == ["one", "three", "two"]
    assert np.array_equal(model.predict(X), named)


def test_score_leaves_out_what_has_no_label(few: Data, fitted: KMeansPseudoLabeller) -> None:
    X, y = few
    assert fitted.score(X, y) == np.mean(fitted.predict(X)[y != -1] == y[y != -1]) > 0.9
    assert fitted.score(X, y, sample_weight=np.where(y == 3, 1, 0)) == np.mean(fitted.predict(X)[y == 3] == 3)
    with pytest.raises(ValueError, match="no row has a label"):
        fitted.score(X, np.full(len(X), -1))


def test_a_pipeline_is_searched_over_numpys_numbers(few: Data) -> None:
    X, y = few
    pipeline = make_pipeline(StandardScaler(), KMeansPseudoLabeller(rounds=1, random_state=0))
    grid = {"kmeanspseudolabeller__n_clusters": np.array([20, 40]), "kmeanspseudolabeller__threshold": [0.0, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=StratifiedKFold(2), error_score="raise").fit(X, y)
    assert search.best_score_ > 0.6  # −1 counted as a class would leave it below 0.1
    assert search.predict(X[:5]).shape == (5,)


@pytest.mark.parametrize("n_clusters", [None, 601, 10**6])
def test_without_a_sensible_number_of_clusters_one_is_chosen(few: Data, n_clusters: int | None) -> None:
    model = KMeansPseudoLabeller(n_clusters=n_clusters, rounds=1, random_state=0).fit(*few)
    assert model.cluster_centers_ is not None
    assert len(model.cluster_centers_) == 30
    assert model.n_clusters == n_clusters


def test_any_classifier_may_play_the_networks_part(few: Data) -> None:
    X, y = few
    forest = KMeansPseudoLabeller(RandomForestClassifier(5), rounds=1, random_state=0)
    one, other = clone(forest).fit(X, y), clone(forest).fit(X, y)
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    own = clone(forest).set_params(estimator__random_state=7).fit(X, y)
    assert own.estimator_.random_state == 7
    neighbours = KMeansPseudoLabeller(KNeighborsClassifier(1), rounds=1, random_state=0).fit(X, y)  # takes no weights
    assert np.array_equal(neighbours.predict(X[y != -1]), y[y != -1])


def test_weights_are_used_and_given_labels_repeated(few: Data, fitted: KMeansPseudoLabeller) -> None:
    X, y = few
    for change in ({"weighted": False}, {"labelled_share": 0.9}):
        other = clone(fitted).set_params(**change).fit(X, y)
        assert not np.array_equal(other.estimator_.coef_, fitted.estimator_.coef_), change


BAD = [
    ({"n_clusters": 0}, "n_clusters: Input should be greater than or equal to 1, got 0"),
    ({"n_clusters": 2.5}, "n_clusters: Input should be a valid integer"),
    ({"k": "5"}, "k: Input should be a valid integer, got '5'"),
    ({"threshold": 1.5}, "threshold: Input should be less than or equal to 1, got 1.5"),
    ({"rounds": 0}, "rounds: Input should be greater than or equal to 1"),
    ({"algorithm": "kmean"}, "unknown algorithm 'kmean'; did you mean 'kmeans'?"),
    ({"strategy": "concensus"}, "unknown strategy 'concensus'; did you mean 'consensus'?"),
    ({"strategy": None}, "unknown strategy 'None'"),
    ({"whiten": 65}, "whiten 65: features have at most 64 components"),
    ({"algorithm": "seeded", "n_clusters": 5}, "n_clusters 5: seeded K-means needs one for each of 10 classes"),
    ({"strategy": "prototype-knn", "k": 51}, "k 51: there are 50 prototypes; give no more"),
    ({"estimator": RidgeClassifier()}, "RidgeClassifier.* has no predict_proba"),
]


@pytest.mark.parametrize(("bad", "line"), BAD)
def test_a_bad_parameter_is_refused_in_one_line(few: Data, bad: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}" if "estimator" not in bad else line) as refusal:
        KMeansPseudoLabeller(**bad).fit(*few)
    assert "\n" not in str(refusal.value)
    assert "clustering." not in str(refusal.value)


def test_labels_and_features_that_cannot_be_used_are_refused(few: Data) -> None:
    X, y = few
    for labels, line in (
        (np.full(len(y), -1), "no sample has a label"),
        (np.where(y == 3, 3, -1), "all given labels are of one class, 3"),
        (np.where(y == -1, "-1", "a"), 'y has "-1" among strings'),
        (np.where(y == -1, np.nan, y), "NaN"),
    ):
        with pytest.raises(ValueError, match=re.escape(line)):
            KMeansPseudoLabeller().fit(X, labels)
    with pytest.raises(ValueError, match=re.escape("X has values beyond 1e+15: scale the features")):
        KMeansPseudoLabeller().fit(X * 1e20, y)


def test_each_setting_of_the_method_has_its_parameter() -> None:
    parameters = inspect.signature(KMeansPseudoLabeller).parameters
    settings = Clustering.model_fields | PseudoLabelling.model_fields
    assert parameters.keys() - {"estimator", "random_state"} == settings.keys() - {"maps"}  # maps are of networks
    chosen_here = {"n_clusters", "n_prototypes", "strategy", "k", "threshold"}  # the others are tuned on networks
    for name in parameters.keys() & settings.keys() - chosen_here:
        assert parameters[name].default == settings[name].default, name
    for name in parameters:
        assert f"\n        {name}: " in (KMeansPseudoLabeller.__doc__ or ""), name


def test_importing_kmpl_imports_nothing_heavy() -> None:
    code = "import sys, kmpl; sys.exit(any(m in sys.modules for m in ('torch', 'sklearn', 'numpy', 'pydantic')))"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(ImportError, match="cannot import name 'KMeansPseudolabeller'"):
        from kmpl import KMeansPseudolabeller  # noqa: F401


@pytest.mark.parametrize("fitted_in", ["float32", "float64", "int64", "float16"])
def test_numbers_of_another_type_than_those_of_fit_are_predicted_alike(few: Data, fitted_in: str) -> None:
    """K-means inside the classifier is the strictest: alone it refuses what the estimator makes of it."""
    X, y = few  # whole numbers from 0 to 16, the same in each type
    inside = make_pipeline(KMeans(20, n_init=1, random_state=0), LogisticRegression(max_iter=1_000))
    model = KMeansPseudoLabeller(inside, random_state=0).fit(X.astype(fitted_in), y)
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        KMeans(20, n_init=1, random_state=0).fit(X.astype(np.float32)).predict(X.astype(np.float64))
    expected = model.predict(X.astype(fitted_in))
    for other in ("float16", "float32", "float64", "int32", "uint8"):
        np.testing.assert_array_equal(model.predict(X.astype(other)), expected)
        np.testing.assert_allclose(model.predict_proba(X.astype(other)), model.predict_proba(X.astype(fitted_in)))
    np.testing.assert_array_equal(model.predict(X.tolist()), expected)
    assert model.score(X.tolist(), y.tolist()) > 0.9
