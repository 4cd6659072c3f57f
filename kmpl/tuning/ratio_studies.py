"""The two studies of one labelled ratio: labelled-only, then pseudo-label."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from kmpl.config.base import flatten, tree
from kmpl.config.experiment import AFTER, BEFORE, ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.pool import divide
from kmpl.datasets.registry import content
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.method import experiment
from kmpl.method.results import Round
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import check as check_experiment
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.devices import use_threads
from kmpl.runtime.seeds import derive
from kmpl.training.history import Fit
from kmpl.training.watch import Watch
from kmpl.tuning.pruning import TrialProgress
from kmpl.tuning.search_space import space
from kmpl.tuning.study import run_study
from kmpl.tuning.study_task import StudyContext, StudySpec, TrainTrial

SEED = 1_000  # of labels, views and weights in all trials

LoadDraw = Callable[[int], tuple[Pool, np.ndarray]]
"""Seed of a draw → its pool, and apart from it the true labels."""


def tune(
    config: ExperimentConfig,
    *,
    trials: int,
    steps: Steps,
    context: StudyContext,
    ranges: tuple[str, ...] = (),
    previous: Sequence[StudyRecord] = (),
    draws: int = 1,
) -> tuple[StudyRecord, StudyRecord]:
    """Run the two studies of a labelled ratio and return them; ``best_settings`` makes settings of them.

    Args:
        config: of the ratio; its own values are the first trial, so the best is never below them.
        trials: number of trials of each study; trials of earlier runs and of other processes count.
        steps: of the experiment; ``evaluate``, which opens the test set, is not used.
        context: stores of the studies.
        ranges: search ranges that replace the declared ones, as ``name=lowest:highest``.
        previous: studies of another ratio; their best values are the second trial.
        draws: number of draws of labels, views and weights that decide; the best trials are re-evaluated on all but
            the first.

    Raises:
        UserError: the ratio has no validation images, or an error of ``run_study``.
    """
    use_threads(config.threads)
    base = merge(config, {"seed": SEED, "arms": (BEFORE, AFTER)})
    load_draw = cache(lambda seed: steps.load(merge(base, {"seed": seed})))
    pool, _ = load_draw(SEED)
    if not len(pool.validation_labels):
        problem = "no label is left for validation, so nothing can be tuned"
        raise UserError(f"ratio {base.ratio}: {problem}; give more labels")
    ratio = _Ratio(
        config=base,
        pool=pool,
        trials=trials,
        sweep=context.sweep,
        ranges=ranges,
        previous=previous,
        further_seeds=draw_seeds(draws)[1:],
    )
    train_first = partial(_train_labelled_only, base, load_draw, steps)
    first = run_study(ratio.study_spec(BEFORE, [], train_first), context)
    train_second = partial(_train_pseudo_label, best_settings(base, [first]), load_draw, steps)
    return first, run_study(ratio.study_spec(AFTER, [first], train_second), context)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ratio:
    """The common part of both studies of a labelled ratio."""

    config: ExperimentConfig
    pool: Pool
    trials: int
    sweep: str
    ranges: tuple[str, ...]
    previous: Sequence[StudyRecord]
    further_seeds: tuple[int, ...]

    def study_spec(self, arm: str, earlier: Sequence[StudyRecord], train: TrainTrial) -> StudySpec:
        """Return the specification of one arm's study, which builds on the best values of earlier arms."""
        settings = flatten(self.config.model_dump(mode="json", exclude={"arms", "threads", "seed"}))
        settings |= {"dataset content": digest} if (digest := content(self.config.dataset)) else {}
        limits = space(self.config, arm, len(self.pool.labels), self.ranges)
        label = f"ratio {self.config.ratio}, {arm}"
        starts = [settings, *(record.best for record in self.previous if record.arm == arm)]
        return StudySpec(
            name=f"{self.sweep}, {label}",
            ratio=self.config.ratio or 0.0,
            arm=arm,
            settings=settings,
            base_values={name: value for record in earlier for name, value in record.best.items()},
            space=limits,
            first_values=[{name: limit.nearest(values[name]) for name, limit in limits.items()} for values in starts],
            trials=self.trials,
            seed=derive(SEED, label),
            train=train,
            pool=self.pool,
            draw_seed=SEED,
            further_seeds=self.further_seeds,
        )


def draw_seeds(draws: int) -> tuple[int, ...]:
    """Return the seeds of the draws that decide a study; trials use the first."""
    return tuple(range(SEED, SEED + draws))


def _train_labelled_only(
    base: ExperimentConfig,
    load_draw: LoadDraw,
    steps: Steps,
    values: Mapping[str, Any],
    progress: TrialProgress,
    seed: int,
) -> tuple[Fit, tuple[Round, ...]]:
    config = merge(base, tree(values) | {"seed": seed})
    pool, _ = load_draw(seed)

    def train(watch: Watch) -> Fit:
        return steps.pretrain(StepInput(config=config, pool=pool, watch=watch))

    return progress.watch_training(steps.watch, 1, epochs=config.pretrain.epochs, train=train), ()


def _train_pseudo_label(
    base: ExperimentConfig,
    load_draw: LoadDraw,
    steps: Steps,
    values: Mapping[str, Any],
    progress: TrialProgress,
    seed: int,
) -> tuple[Fit, tuple[Round, ...]]:
    config = merge(base, tree(values) | {"seed": seed})
    pool, truth = load_draw(seed)
    inputs = StepInput(config=config, pool=pool, watch=steps.watch)
    start = steps.pretrain(inputs)  # the first study's winner, from the store
    progress.cached_seconds += start.seconds
    fit, rounds, _ = experiment.run_rounds(inputs, truth=truth, start=start, steps=progress.watch_rounds(steps))
    return fit, rounds


def best_settings(config: ExperimentConfig, studies: Sequence[StudyRecord]) -> ExperimentConfig:
    """Return the settings with the best values of the studies."""
    for study in studies:
        config = merge(config, tree(study.best))
    return config


def check(config: ExperimentConfig, ranges: tuple[str, ...] = ()) -> None:
    """Refuse, before any work, impossible ranges, and ranges whose ends are no valid settings.

    Raises:
        UserError: in one line.
    """
    _, (labelled, _, unlabelled) = divide(config)
    n_images = len([*labelled, *unlabelled]) * config.pool.views_per_image
    for arm in (BEFORE, AFTER):
        limits = space(config, arm, n_images, ranges)
        for end in ("low", "high"):
            values = {name: limit.nearest(getattr(limit, end)) for name, limit in limits.items()}
            check_experiment(merge(config, tree(values)))
