"""Cross-fitting: hide the given labels fold by fold, and test whether the method finds them again.

Shapes: N images, C classes, F folds, V hidden labels.

Source: Northcutt et al. 2021, "Confident learning", https://arxiv.org/abs/1911.00068, for labels that a model which did
not know them contradicts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.folder_pool import folds, pool_of
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.labelling.doubts import suspects
from kmpl.labelling.judges import Judgement, joined, judge
from kmpl.labelling.thresholds import HiddenLabels, confidence_ranks
from kmpl.method import experiment
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossFit:
    """Result of all folds."""

    hidden: HiddenLabels
    """The hidden labels of all folds, and whether each was found again."""
    probabilities: np.ndarray
    """(F, N, C) class probabilities of all images by the last network of each fold."""
    images: np.ndarray
    """(V,) index of each hidden label's image."""
    guesses: np.ndarray
    """(V,) class that it was named instead of, or as, its label."""
    judgement: Judgement | None = None
    """What judges say of the hidden labels, each by judges that did not know it; None without frozen features."""
    suspects: Mapping[int, int] = field(default_factory=dict)
    """Given labels that look like another class: index of the image → that class. Names of clusters may be among them,
    though they are no evidence."""

    def mean_confidence(self, probabilities: np.ndarray, guesses: np.ndarray) -> np.ndarray:
        """Return the probability of each guess, averaged over all networks, (N,) in [0, 1].

        Networks that were trained on different labels disagree where one of them errs, even if it is certain: the mean
        separates right from wrong guesses better than any single network (docs/log/attempts-few-labels.md).

        Args:
            probabilities: (N, C) of the network that made the guesses.
            guesses: (N,) classes.
        """
        networks = np.concatenate([probabilities[None], self.probabilities])
        return networks[:, np.arange(len(guesses)), guesses].mean(axis=0)


def fold_config(config: ExperimentConfig) -> ExperimentConfig:
    """Return the settings of a fold: the same method, but one round, whose network gets no extra epochs.

    The whole method finds at least the labels that this shorter one finds, in three times as long
    (docs/log/attempts-few-labels.md).
    """
    return merge(config, {"pseudo_labels": {"rounds": 1}, "retrain": {"last_round": 1}})


def cross_fit(folder: FolderImages, config: ExperimentConfig, *, n_folds: int, seed: int, steps: Steps) -> CrossFit:
    """Hide each fold of the given labels in turn, label all images by the other folds, and compare.

    A class's only label is never hidden. Labels whose image nobody looked at (kmpl assigned them earlier, or a person
    named the whole cluster) are hidden in turn, too, but no evidence: kmpl finds its own guesses and clusters again.

    Args:
        folder: the images and given labels.
        config: settings of the method; the folds run with ``fold_config``.
        n_folds: F.
        seed: divides the labels into folds.
        steps: of the method.
    """
    fold_of_label = folds(folder.labels, n_folds, seed)
    settings = fold_config(config)
    steps = _learning_features_once(folder, steps)
    parts = []
    for number in np.unique(fold_of_label[fold_of_label != UNLABELLED]):
        if folder.frozen is None:  # else a fold is done before anybody could read it
            steps.entering(f"fold {number + 1} of {n_folds}")
        parts.append(_fold(folder, settings, fold_of_label == number, steps))
    singles = int(((folder.labels != UNLABELLED) & (fold_of_label == UNLABELLED)).sum())
    none = np.zeros(0, dtype=np.int64)
    return CrossFit(
        hidden=HiddenLabels(
            np.concatenate([np.zeros(0), *(part.hidden.ranks for part in parts)]),
            np.concatenate([np.zeros(0, dtype=bool), *(part.hidden.right for part in parts)]),
            singles,
        ),
        probabilities=np.concatenate([_no_fold(folder), *(part.probabilities for part in parts)]),
        images=np.concatenate([none, *(part.images for part in parts)]),
        guesses=np.concatenate([none, *(part.guesses for part in parts)]),
        judgement=joined([part.judgement for part in parts if part.judgement]) if folder.frozen else None,
        suspects={i: c for part in parts for i, c in part.suspects.items()},
    )


def _no_fold(folder: FolderImages) -> np.ndarray:
    """Return the class probabilities of all images by no fold at all, (0, N, C)."""
    return np.empty((0, len(folder.files), len(folder.classes)), dtype=np.float32)


def _fold(folder: FolderImages, config: ExperimentConfig, hidden: np.ndarray, steps: Steps) -> CrossFit:
    """Return the result of one fold; hidden (N,) bool says which labels the method does not see."""
    pool = pool_of(folder, hidden)
    labelling = experiment.label(config, pool, steps)
    predicted = in_folder_order(pool, labelling.vote.probabilities)
    unlabelled = np.flatnonzero(hidden | (folder.labels == UNLABELLED))
    in_fold = (hidden & folder.checked)[unlabelled]
    images = unlabelled[in_fold]
    guesses = predicted[images].argmax(axis=1)
    judgement = judge(pool, labelling).take(np.argsort(pool.sources)) if pool.frozen else None
    return CrossFit(
        hidden=HiddenLabels(
            confidence_ranks(predicted[unlabelled].max(axis=1))[in_fold], guesses == folder.labels[images]
        ),
        probabilities=predicted[None],
        images=images,
        guesses=guesses,
        judgement=judgement.take(images) if judgement else None,
        suspects=_suspects(folder, hidden, predicted.argmax(axis=1), judgement) if judgement else {},
    )


def _suspects(folder: FolderImages, hidden: np.ndarray, guesses: np.ndarray, judgement: Judgement) -> dict[int, int]:
    """Return hidden labels by people that look like another class.

    Args:
        folder: the images and given labels.
        hidden: (N,) bool, the labels of the fold.
        guesses: (N,) classes by the method, without them.
        judgement: of all images, in the order of the folder.
    """
    some = np.flatnonzero(hidden & folder.by_person)
    return suspects(some, guesses[some], folder.labels[some], judgement.take(some))


def in_folder_order(pool: Pool, rows: np.ndarray) -> np.ndarray:
    """Return rows (N, …) in the order of the folder's files, given in the order of the pool."""
    ordered = np.empty_like(rows)
    ordered[pool.sources] = rows
    return ordered


def _learning_features_once(folder: FolderImages, steps: Steps) -> Steps:
    """Return steps that compute pretext features once for all folds: those do not depend on any label."""
    features: list[np.ndarray] = []
    nothing = np.zeros(len(folder.files), dtype=bool)

    def pretext(inputs: StepInput) -> np.ndarray:
        if not features:
            whole = pool_of(folder, nothing)
            features.append(in_folder_order(whole, steps.pretext(replace(inputs, pool=whole))))
        return features[0][inputs.pool.sources]

    return replace(steps, pretext=pretext)
