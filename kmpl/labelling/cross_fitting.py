"""Given labels hidden in turn: does the method that labels a folder find them again? N images, C classes, V hidden."""

from dataclasses import dataclass, replace

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.folder_pool import folds, pool_of
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.labelling.thresholds import Hidden, ranks
from kmpl.method import experiment
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps


@dataclass(frozen=True)
class CrossFit:
    """What the folds say."""

    hidden: Hidden
    """What became of the labels that were hidden."""
    probabilities: np.ndarray
    """(folds, N, C) what each fold's last network says of all images."""

    def shared(self, probabilities: np.ndarray, guesses: np.ndarray) -> np.ndarray:
        """Return how sure all networks are of each guess on average, (N,) in [0, 1].

        Networks that saw other labels disagree where one of them errs, however sure it is: the mean tells right from
        wrong guesses better than any one of them (docs/log/attempts-few-labels.md).

        Args:
            probabilities: (N, C) of the network that made the guesses.
            guesses: (N,) classes.
        """
        everyone = np.concatenate([probabilities[None], self.probabilities])
        return everyone[:, np.arange(len(guesses)), guesses].mean(axis=0)


def stand_in(config: ExperimentConfig) -> ExperimentConfig:
    """Return settings of the same method, cut short: one round, whose last network trains no longer than any.

    What it finds again, the whole method finds again all the more (docs/log/attempts-few-labels.md), and it takes a
    third of the time.
    """
    return merge(config, {"pseudo_labels": {"rounds": 1}, "retrain": {"last_round": 1}})


def cross_fit(found: FolderImages, config: ExperimentConfig, n_folds: int, seed: int, steps: Steps) -> CrossFit:
    """Hide each part of the given labels in turn, let the method label the images by the others, and compare.

    A class's only label is never hidden.

    Args:
        found: the folder.
        config: settings of the method that labels it; the folds run their ``stand_in``.
        n_folds: parts.
        seed: draws them.
        steps: of the method.
    """
    parts = folds(found.labels, n_folds, seed)
    settings, steps = stand_in(config), _learning_features_once(found, steps)
    seen, right, probabilities = [np.zeros(0)], [np.zeros(0, dtype=bool)], []
    for number in np.unique(parts[parts != UNLABELLED]):
        steps.entering(f"fold {number + 1} of {n_folds}")
        hidden = parts == number
        pool = pool_of(found, hidden)
        said = by_image(pool, experiment.label(settings, pool, steps).vote.probabilities)
        unlabelled = np.flatnonzero(hidden | (found.labels == UNLABELLED))
        own = hidden[unlabelled]
        seen.append(ranks(said[unlabelled].max(axis=1))[own])
        right.append(said[unlabelled].argmax(axis=1)[own] == found.labels[unlabelled[own]])
        probabilities.append(said)
    singles = int(((found.labels != UNLABELLED) & (parts == UNLABELLED)).sum())
    everything = np.stack(probabilities) if probabilities else np.empty((0, len(found.files), len(found.classes)))
    return CrossFit(Hidden(np.concatenate(seen), np.concatenate(right), singles), everything)


def by_image(pool: Pool, rows: np.ndarray) -> np.ndarray:
    """Return rows (N, …) in the order of a folder's files instead of its pool's."""
    ordered = np.empty_like(rows)
    ordered[pool.sources] = rows
    return ordered


def _learning_features_once(found: FolderImages, steps: Steps) -> Steps:
    """Return steps that learn features without labels once for all folds: they do not depend on what is hidden."""
    learnt: list[np.ndarray] = []
    nothing = np.zeros(len(found.files), dtype=bool)

    def pretext(inputs: StepInput) -> np.ndarray:
        if not learnt:
            whole = pool_of(found, nothing)
            learnt.append(by_image(whole, steps.pretext(replace(inputs, pool=whole))))
        return learnt[0][inputs.pool.sources]

    return replace(steps, pretext=pretext)
