"""Tuning: for each labelled ratio two studies, labelled-only first, as many trials each. The only file with Optuna.

Validation decides, on a draw of its own that no experiment of a sweep uses unless it is asked for. The test set is out
of reach: the steps of a trial come without a way to open it.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from kmpl import experiment
from kmpl.comparison import AFTER, BEFORE
from kmpl.config import ExperimentConfig, flatten
from kmpl.devices import use_threads
from kmpl.errors import DivergedError, UserError
from kmpl.experiment import Steps
from kmpl.presets import merge
from kmpl.results import Fit
from kmpl.seeds import derive
from kmpl.steps import silent

SEED = 1_000  # of labels, views and weights in all trials
_MOST_CLUSTERS = 0.25  # of the images


@dataclass(frozen=True)
class Range:
    """What values of a setting are tried: those around its value in the settings, by a factor."""

    down: float
    up: float
    whole: bool = True


SPACES: dict[str, dict[str, Range]] = {
    BEFORE: {
        "pretrain.learning_rate": Range(1 / 4, 3, whole=False),
        "pretrain.epochs": Range(1 / 2, 2),
    },
    AFTER: {
        "clustering.n_clusters": Range(1 / 8, 2),
        "pseudo_labels.k": Range(1 / 5, 4),
        "retrain.learning_rate": Range(1 / 4, 3, whole=False),
        "retrain.epochs": Range(1 / 2, 3 / 2),
    },
}


def open_journal(path: Path) -> JournalStorage:
    """Return the storage of all studies, one file.

    Raises:
        UserError: the file cannot be written or is none of Optuna's.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot open the studies in {path}: {error}") from error


def tune(
    config: ExperimentConfig,
    trials: int,
    storage: JournalStorage,
    name: str,
    steps: Steps,
    told: Callable[[str], None] = silent,
) -> ExperimentConfig:
    """Return the settings with what validation likes best.

    Args:
        config: of one labelled ratio; its own values are the first trial, so the best is never below them.
        trials: of each study, in all: what an earlier, killed turn finished counts.
        storage: of the studies.
        name: in front of the studies' names.
        steps: the experiment's; their way to the test set is not used.
        told: of each trial, in a line.
    """
    use_threads(config.threads)
    base = merge(config, {"seed": SEED})
    pool, truth = steps.load(base)

    def labelled_only(tried: ExperimentConfig) -> Fit:
        return steps.pretrain(tried, pool, steps.watch)

    def pseudo_label(tried: ExperimentConfig) -> Fit:
        start = steps.pretrain(tried, pool, steps.watch)  # the first study's winner: found in the store
        return experiment.run_rounds(tried, pool, truth, start, steps)[0]

    for arm, train in ((BEFORE, labelled_only), (AFTER, pseudo_label)):
        space = _space(base, arm, len(pool.labels))
        best = _study(storage, f"{name}, {arm}", trials, space, base, train, told)
        base = merge(base, tree(best))
    return merge(base, {"seed": config.seed})


def tree(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as a tree.

    >>> tree({"a.b": 1, "a.c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested


def _space(config: ExperimentConfig, arm: str, n_images: int) -> dict[str, tuple[float, float, bool]]:
    """Return lowest and highest value of each setting, and whether it is a whole number."""
    values, space = flatten(config.model_dump()), {}
    for name, limits in SPACES[arm].items():
        low, high = values[name] * limits.down, values[name] * limits.up
        if name == "clustering.n_clusters":
            high = max(values[name], min(high, _MOST_CLUSTERS * n_images))
        space[name] = (max(1, round(low)), max(1, round(high)), True) if limits.whole else (low, high, False)
    return space


def _study(
    storage: JournalStorage,
    name: str,
    trials: int,
    space: Mapping[str, tuple[float, float, bool]],
    config: ExperimentConfig,
    train: Callable[[ExperimentConfig], Fit],
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Run what is missing of a study and return the best values."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    _revive(study)
    if not study.trials:
        values = flatten(config.model_dump())
        study.enqueue_trial({setting: values[setting] for setting in space})
    while (done := len(_finished(study))) < trials:
        # A sampler of its own for each trial, so that a study that was killed draws what it would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=derive(SEED, name, done))
        trial = study.ask()
        tried = {setting: _suggest(trial, setting, *limits) for setting, limits in space.items()}
        with _told(study, trial):
            fit = train(merge(config, tree(tried)))
            trial.set_user_attr("validation accuracy", fit.validation_accuracy)
            trial.set_user_attr("validation log-loss", fit.validation_loss)
            study.tell(trial, _value(fit))
            told(f"{name}: trial {done + 1} of {trials}, validation {fit.validation_accuracy:.2%}")
    if not any(t.state == TrialState.COMPLETE for t in study.trials):
        raise UserError(f"study '{name}': all {trials} trials diverged; give a smaller learning rate to start from")
    return dict(study.best_params)


def _value(fit: Fit) -> float:
    """Accuracy on validation; log-loss decides where it ties, as it often does on few images."""
    return fit.validation_accuracy - 1e-6 * min(fit.validation_loss, 10.0)


@contextlib.contextmanager
def _told(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Let a trial that diverges count as failed; anything else that goes wrong leaves it to the next turn."""
    try:
        yield
    except DivergedError as error:
        trial.set_user_attr("diverged", str(error))
        study.tell(trial, state=TrialState.FAIL)


def _suggest(trial: optuna.Trial, name: str, low: float, high: float, whole: bool) -> float:
    if whole:
        return trial.suggest_int(name, int(low), int(high), log=True)
    return trial.suggest_float(name, low, high, log=True)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those that ended, in a value or by diverging, not those that were killed."""
    return [t for t in study.trials if t.state == TrialState.COMPLETE or "diverged" in t.user_attrs]


def _revive(study: optuna.Study) -> None:
    """Fail what a killed turn left running, and put its parameters first in the queue.

    Who calls this holds the sweep's lock, so nobody is at work on the study.
    """
    for trial in study.trials:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                study.enqueue_trial(trial.params, skip_if_exists=False)
