"""One labelled ratio: the two studies, one after the other."""

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
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import check as check_experiment
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.devices import use_threads
from kmpl.runtime.seeds import derive
from kmpl.tuning.pruning import Course
from kmpl.tuning.search_space import space
from kmpl.tuning.study import run_study
from kmpl.tuning.study_task import Desk, Task, Train, Trained

SEED = 1_000  # of labels, views and weights in all trials

Drawn = Callable[[int], tuple[Pool, np.ndarray]]
"""A draw's seed → its pool, and apart from it the true labels."""


def tune(
    config: ExperimentConfig,
    trials: int,
    steps: Steps,
    desk: Desk,
    given: tuple[str, ...] = (),
    before: Sequence[StudyRecord] = (),
    draws: int = 1,
) -> tuple[StudyRecord, StudyRecord]:
    """Return the two studies of a labelled ratio; ``tuned`` makes settings of them.

    Args:
        config: of the ratio; its own values are the first trial, so the best is never below them.
        trials: of each study, in all: what an earlier, killed turn finished counts, and what other processes do too.
        steps: the experiment's; their way to the test set is not used.
        desk: where to work.
        given: ranges to search instead of the declared ones.
        before: studies of the ratio tuned before; their best values are the second trial.
        draws: of labels, views and weights that decide; the best trials meet on those after the first.

    Raises:
        UserError: the ratio has no validation images, or what ``run_study`` says.
    """
    use_threads(config.threads)
    base = merge(config, {"seed": SEED, "arms": (BEFORE, AFTER)})
    drawn = cache(lambda seed: steps.load(merge(base, {"seed": seed})))
    pool, _ = drawn(SEED)
    if not len(pool.validation_labels):
        raise UserError(
            f"ratio {base.ratio}: no label is left for validation, so nothing can be tuned; give more labels"
        )
    asked = _Asked(base, pool, trials, desk, given, before, seeds(draws)[1:])
    first = run_study(asked.task(BEFORE, [], partial(_labelled_only, base, drawn, steps)), desk)
    found = tuned(base, [first])
    return first, run_study(asked.task(AFTER, [first], partial(_pseudo_label, found, drawn, steps)), desk)


@dataclass(frozen=True)
class _Asked:
    """What both studies of a labelled ratio share."""

    base: ExperimentConfig
    pool: Pool
    trials: int
    desk: Desk
    given: tuple[str, ...]
    before: Sequence[StudyRecord]
    further: tuple[int, ...]

    def task(self, arm: str, found: Sequence[StudyRecord], train: Train) -> Task:
        """Return the task of one arm's study, which builds on what was found for the arms before."""
        settings = flatten(self.base.model_dump(mode="json", exclude={"arms", "threads", "seed"}))
        settings |= {"dataset content": digest} if (digest := content(self.base.dataset)) else {}
        searched = space(self.base, arm, len(self.pool.labels), self.given)
        label = f"ratio {self.base.ratio}, {arm}"
        known = [settings, *(record.best for record in self.before if record.arm == arm)]
        return Task(
            name=f"{self.desk.sweep}, {label}",
            ratio=self.base.ratio or 0.0,
            arm=arm,
            settings=settings,
            begin={name: value for record in found for name, value in record.best.items()},
            space=searched,
            starts=[{name: one.nearest(values[name]) for name, one in searched.items()} for values in known],
            trials=self.trials,
            seed=derive(SEED, label),
            train=train,
            pool=self.pool,
            draw=SEED,
            further=self.further,
        )


def seeds(draws: int) -> tuple[int, ...]:
    """Return the seeds that decide a study, its own first."""
    return tuple(range(SEED, SEED + draws))


def _labelled_only(
    base: ExperimentConfig, drawn: Drawn, steps: Steps, values: Mapping[str, Any], course: Course, seed: int
) -> Trained:
    tried, (pool, _) = merge(base, tree(values) | {"seed": seed}), drawn(seed)
    return course.watched(
        steps.watch,
        1,
        tried.pretrain.epochs,
        lambda watch: steps.pretrain(StepInput(config=tried, pool=pool, watch=watch)),
    ), ()


def _pseudo_label(
    base: ExperimentConfig, drawn: Drawn, steps: Steps, values: Mapping[str, Any], course: Course, seed: int
) -> Trained:
    tried, (pool, truth) = merge(base, tree(values) | {"seed": seed}), drawn(seed)
    # The first study's winner, from the store.
    inputs = StepInput(config=tried, pool=pool, watch=steps.watch)
    start = steps.pretrain(inputs)
    course.found += start.seconds
    fit, rounds, _ = experiment.run_rounds(inputs, truth=truth, start=start, steps=course.followed(steps))
    return fit, rounds


def tuned(config: ExperimentConfig, studies: Sequence[StudyRecord]) -> ExperimentConfig:
    """Return the settings with what the studies found best."""
    for study in studies:
        config = merge(config, tree(study.best))
    return config


def check(config: ExperimentConfig, given: tuple[str, ...] = ()) -> None:
    """Refuse, before any work, ranges that cannot be, and spaces whose ends are no settings.

    Raises:
        UserError: in one line.
    """
    _, (labelled, _, unlabelled) = divide(config)
    for arm in (BEFORE, AFTER):
        searched = space(config, arm, len([*labelled, *unlabelled]) * config.pool.views_per_image, given)
        for end in ("low", "high"):
            values = {name: one.nearest(getattr(one, end)) for name, one in searched.items()}
            check_experiment(merge(config, tree(values)))
