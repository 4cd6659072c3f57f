"""The method for scikit-learn's users: feature vectors and few labels in, a classifier out.

The strategies, the rounds and the settings are kmpl's own; a classifier of scikit-learn plays the network's part, and
features stay what they are. Shapes: N samples, D features, C classes, K clusters.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d, has_fit_parameter, validate_data

from kmpl.errors import SettingError, UserError
from kmpl.method.estimator_rounds import Rounds, probabilities_of
from kmpl.method.estimator_settings import settings_of
from kmpl.method.experiment import self_train
from kmpl.method.label_encoding import encode, given_labels
from kmpl.method.results import PseudoLabels
from kmpl.runtime.seeds import derive

_LARGEST = 1e15  # its squares, summed over many features, are still finite in float32
_ITERATIONS = 10_000  # of logistic regression, at most: on features that nobody scaled it takes thousands


class KMeansPseudoLabeller(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that learns from few labels and many samples without, by K-means pseudo-labelling.

    It is trained on the given labels. Then, in rounds: all samples are clustered, clusters and classifier vote on every
    unlabelled sample, and a new classifier is trained on given and assigned labels.

    In ``y``, −1 marks a sample without a label, as everywhere in scikit-learn; with classes that are strings, ``y`` has
    dtype object. Features are taken as they are: where their units differ, put a ``StandardScaler`` before.

    In cross-validation −1 is no class: ``score`` counts labelled samples only, and so does every search that leaves
    ``scoring`` alone. Other scorers must be told to leave out −1.

    Args:
        estimator: classifier with ``predict_proba`` that is trained, a new clone each time; None: logistic regression.
            Each ``random_state`` in it that is None is set from ``random_state`` below.
        n_clusters: of all samples. None, or more than there are samples: one for each 20 samples, at least two and at
            least as many as there are classes, at most 500.
        k: nearest neighbours that vote: labelled samples in a cluster, or prototypes.
        links: nearest clusters that a sample links (cluster-graph).
        strategy: who assigns: consensus (clusters and classifier must agree; seldom does harm), cluster-graph (labels
            spread from cluster to cluster; for very few labels and features in which classes hang together),
            cluster-ensemble (classifier, nearest samples and many clusterings judge together; for features of a network
            that was trained elsewhere), cluster-vote, prototype-knn, self-training or label-spreading.
        threshold: confidence in [0, 1] below which a sample is left out of retraining.
        graph_threshold: the same where labels are few and cluster-graph spreads them.
        rounds: of voting and retraining, at most.
        soft_votes: let unlabelled members of a cluster vote too, with the classifier's probabilities.
        labelled_share: least share of given labels in what is retrained on; they are repeated as often as that takes.
        weighted: weight each pseudo-label by its confidence, where ``estimator.fit`` itself takes ``sample_weight``.
        algorithm: kmeans, mini-batch, or seeded by the labelled samples, which stay clamped.
        restarts: K-means starts; the best inertia wins.
        l2: scale each sample's features to length one before clustering (angles count, not lengths).
        whiten: components kept by PCA-whitening before that; 0: no whitening.
        n_prototypes: clusters of the labelled samples (prototype-knn); None: as many as samples, at most 50.
        random_state: of K-means and of the classifiers; an int gives the same bits every time.

    Attributes:
        classes_: (C,) class labels.
        n_features_in_: D; with ``feature_names_in_`` where X has names.
        estimator_: the classifier that was trained last.
        transduction_: (N,) the labels that ``estimator_`` was trained on, given or assigned; −1 = left out.
        label_confidence_: (N,) confidence of each label in [0, 1]; 1 where given, of the best guess where left out.
        labeled_iter_: (N,) round that assigned the label; 0 = given, −1 = left out.
        clusters_: (N,) cluster of each sample; None where nothing was clustered.
        cluster_centers_: (K, D') centroids of features as they were clustered (see ``l2``, ``whiten``), or None.
        n_iter_: rounds that ended in a new classifier.
        termination_condition_: why there was no further round.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 10 == 0, y, -1)  # 15 labels, 135 samples without
    >>> model = KMeansPseudoLabeller(random_state=0).fit(X, few)
    >>> model.score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_clusters: int | None = None,
        k: int = 5,
        links: int = 5,
        strategy: str = "consensus",
        threshold: float = 0.0,
        graph_threshold: float = 0.0,
        rounds: int = 3,
        soft_votes: bool = True,
        labelled_share: float = 0.3,
        weighted: bool = True,
        algorithm: str = "kmeans",
        restarts: int = 1,
        l2: bool = True,
        whiten: int = 0,
        n_prototypes: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_clusters = n_clusters
        self.k = k
        self.links = links
        self.strategy = strategy
        self.threshold = threshold
        self.graph_threshold = graph_threshold
        self.rounds = rounds
        self.soft_votes = soft_votes
        self.labelled_share = labelled_share
        self.weighted = weighted
        self.algorithm = algorithm
        self.restarts = restarts
        self.l2 = l2
        self.whiten = whiten
        self.n_prototypes = n_prototypes
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from X (N, D) and y (N,), −1 = unlabelled.

        Raises:
            ValueError: a parameter out of its range, what scikit-learn refuses, fewer than two classes among the given
                labels, or strings in ``y`` that are no objects and one of which is "-1".
        """
        X, y = validate_data(self, X, y)
        X = _numbers(X)
        self._dtype = X.dtype
        if max(float(X.max()), -float(X.min())) > _LARGEST:
            raise ValueError(f"X has values beyond {_LARGEST:g}: scale the features")
        labelled = given_labels(y)
        self.classes_, codes = encode(y, labelled)
        clustering, voting = settings_of(
            self.get_params(deep=False),
            n_samples=len(y),
            n_labels=int(labelled.sum()),
            n_classes=len(self.classes_),
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rounds = Rounds(X, codes, clustering=clustering, voting=voting, seed=seed, train=self._train)
        model = self._train(X[labelled], codes[labelled], confidence=None, seed=seed)
        stopped = "every sample has a label"
        if not labelled.all():
            try:
                model, stopped = self_train(model, rounds.vote, rounds.retrain, rounds=voting.rounds)
            except SettingError as error:
                raise ValueError(error.called(lambda name: name.rpartition(".")[2])) from error
            except UserError as error:
                raise ValueError(str(error)) from error
        self.estimator_ = model
        self.termination_condition_ = stopped
        self.n_iter_ = len(rounds.trained_on) - 1
        self._keep(rounds.trained_on[-1], y)
        return self

    def _keep(self, labels: PseudoLabels, y: np.ndarray) -> None:
        """Show what the last classifier was trained on in scikit-learn's terms."""
        assigned = labels.rounds > 0
        self.transduction_ = y.copy()
        self.transduction_[assigned] = self.classes_[labels.classes[assigned]]
        self.label_confidence_ = labels.confidence
        self.labeled_iter_ = labels.rounds
        self.clusters_ = labels.clusters.assignment if labels.clusters else None
        self.cluster_centers_ = labels.clusters.centroids if labels.clusters else None

    def _train(self, X: np.ndarray, codes: np.ndarray, *, confidence: np.ndarray | None, seed: int) -> Any:
        """Return a new classifier trained on samples with classes (N,) in [0, C), weighted by confidence."""
        model = clone(self.estimator) if self.estimator is not None else LogisticRegression(max_iter=_ITERATIONS)
        open_seeds = (n for n, v in model.get_params().items() if v is None and n.split("__")[-1] == "random_state")
        model.set_params(**{name: derive(seed, "classifier", name) for name in sorted(open_seeds)})
        if confidence is None or not self.weighted or not has_fit_parameter(model, "sample_weight"):
            return model.fit(X, self.classes_[codes])
        return model.fit(X, self.classes_[codes], sample_weight=confidence)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class label of each row of X (N, D), shape (N,)."""
        check_is_fitted(self)
        return self.estimator_.predict(self._as_fitted(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities (N, C) of the rows of X (N, D), in the order of ``classes_``."""
        check_is_fitted(self)
        return probabilities_of(self.estimator_, self._as_fitted(X))

    def _as_fitted(self, X: Any) -> np.ndarray:
        """Return X (N, D) checked, in the precision of ``fit``; whole numbers were float64 to who fitted.

        scikit-learn's KMeans (1.9.1), which ``estimator`` may contain, takes at prediction no other precision than it
        was fitted with ("Buffer dtype mismatch"), and a list of lists is float64.
        """
        X = _numbers(validate_data(self, X, reset=False))
        if "f" not in (X.dtype.kind, self._dtype.kind):
            return X
        return X.astype(self._dtype if self._dtype.kind == "f" else np.float64, copy=False)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on those rows of X (N, D) that have a label in y (N,); −1 = none.

        Raises:
            ValueError: no row has a label.
        """
        y = column_or_1d(y)
        labelled = given_labels(y)
        if not labelled.any():
            raise ValueError("no row has a label: there is nothing to score on")
        weights = None if sample_weight is None else np.asarray(sample_weight)[labelled]
        return float(accuracy_score(y[labelled], self.predict(X)[labelled], sample_weight=weights))


def _numbers(X: np.ndarray) -> np.ndarray:
    """Return X as numbers that can be squared and summed: bool and float16 as float32, all others as they are."""
    return X.astype(np.float32) if X.dtype in (np.bool_, np.float16) else X
