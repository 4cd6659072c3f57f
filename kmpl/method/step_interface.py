"""The steps as a record of functions, and how something is put around each: a store, an engine, a name for errors."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Pool
from kmpl.method import frozen_pool, pretext, steps
from kmpl.method.results import ArmReport, Evaluation, Voted
from kmpl.method.step_inputs import EvaluateInput, RetrainInput, RoundInput, StepInput
from kmpl.training.history import Fit
from kmpl.training.watch import Watch, ignore

Inputs = TypeVar("Inputs")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Who is told how an experiment goes."""

    watch: Watch = field(default_factory=Watch)
    """Told of training."""
    begun: Callable[[Pool], None] = ignore
    """Told of the pool, before anything is trained."""
    entering: Callable[[str], None] = ignore
    """Told of each arm, or other part of the work, before it begins."""


@dataclass(frozen=True, kw_only=True)
class Steps(Listeners):
    """The steps, each a function of one record, and who is told of them.

    ``evaluate`` has no default: who may open the test set hands it in.
    """

    load: Callable[[ExperimentConfig], tuple[Pool, np.ndarray]] = steps.load
    embed: Callable[[StepInput], np.ndarray] = frozen_pool.embed_pool
    pretrain: Callable[[StepInput], Fit] = steps.pretrain
    pretext: Callable[[StepInput], np.ndarray] = pretext.of_pool
    pseudo_label: Callable[[RoundInput], Voted] = steps.pseudo_label
    retrain: Callable[[RetrainInput], Fit] = steps.retrain
    evaluate: Callable[[EvaluateInput], Evaluation]
    report: Callable[[ArmReport], None] = ignore
    """Keeps what an arm gave, where people find it."""


_LISTENERS = {field.name for field in fields(Listeners)}
STEP_NAMES = tuple(field.name for field in fields(Steps) if field.name not in _LISTENERS)
"""The names of the steps, in the order of their fields."""


class Around(Protocol):
    """Puts something around a step: its name and the step → a function of the same kind."""

    def __call__(self, name: str, step: Callable[[Inputs], Result], /) -> Callable[[Inputs], Result]: ...


def wrap_each(steps: Steps, around: Around) -> Steps:
    """Return the same steps, each with something around it; listeners stay as they are."""
    wrapped: dict[str, Any] = {name: around(name, getattr(steps, name)) for name in STEP_NAMES}
    return replace(steps, **wrapped)


def no_test_set(reason: str) -> Callable[[EvaluateInput], Evaluation]:
    """Return what stands in for the test where none may be opened; ``reason`` says why."""

    def evaluate(inputs: EvaluateInput) -> Evaluation:  # noqa: ARG001
        raise AssertionError(reason)

    return evaluate
