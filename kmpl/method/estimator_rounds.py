"""The rounds of ``KMeansPseudoLabeller``: vote and retrain, with a classifier of scikit-learn in the network's place.

Shapes: N samples, D features, C classes.
"""

from typing import Any, Protocol

import numpy as np

from kmpl.config.experiment import Clustering, PseudoLabelling
from kmpl.datasets.types import UNLABELLED
from kmpl.method.kmeans import prepare
from kmpl.method.pseudo_labels import Evidence, assign
from kmpl.method.results import PseudoLabels, Voted
from kmpl.method.steps import repeated
from kmpl.runtime.seeds import derive


class Train(Protocol):
    """Return a new classifier, trained on samples (N, D) with classes (N,) and confidences (N,)."""

    def __call__(self, features: np.ndarray, codes: np.ndarray, /, *, confidence: np.ndarray | None, seed: int) -> Any:
        """Return the classifier."""


class Rounds:
    """Both halves of a round; ``trained_on`` has the labels that each classifier was trained on, given ones first."""

    def __init__(
        self,
        features: np.ndarray,
        codes: np.ndarray,
        *,
        clustering: Clustering,
        voting: PseudoLabelling,
        seed: int,
        train: Train,
    ) -> None:
        self.features = features
        self.codes = codes
        self.clustering = clustering
        self.voting = voting
        self.seed = seed
        self.train = train
        self.labelled = codes != UNLABELLED
        given = PseudoLabels(
            classes=codes,
            guesses=codes,
            confidence=self.labelled.astype(float),
            rounds=np.where(self.labelled, 0, UNLABELLED),
        )
        self.trained_on = [given]

    def vote(self, model: Any, previous: PseudoLabels | None, number: int) -> Voted:
        """Cluster all samples; clusters and classifier assign labels."""
        seed = derive(self.seed, "cluster", number)
        clustered = prepare(self.features, self.clustering, seed)
        probabilities = probabilities_of(model, self.features)
        evidence = Evidence(
            features=clustered,
            probabilities=probabilities,
            labels=self.codes,
            clustering=self.clustering,
            settings=self.voting,
            seed=seed,
        )
        labels = assign(evidence, previous, number)
        return Voted(features=clustered, labels=labels, seconds={}, probabilities=probabilities)

    def retrain(self, voted: Voted, _: int) -> Any:
        """Return a new classifier, trained on given and assigned labels."""
        labels = voted.labels
        self.trained_on.append(labels)
        kept = repeated(self.labelled, labels.kept, self.voting.labelled_share)
        return self.train(self.features[kept], labels.classes[kept], confidence=labels.confidence[kept], seed=self.seed)


def probabilities_of(model: Any, features: np.ndarray) -> np.ndarray:
    """Return the class probabilities (N, C) of samples (N, D).

    Raises:
        ValueError: the classifier has no ``predict_proba``.
    """
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(features))
    raise ValueError(f"estimator {model!r} has no predict_proba, by which classifiers vote")
