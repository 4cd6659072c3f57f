"""One experiment of a sweep: steps kept, runs tracked, progress told, in this process or in one of its own."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.errors import UserError
from kmpl.jobs.journal import Journal
from kmpl.jobs.remote import received
from kmpl.jobs.workers import exit_with_parent
from kmpl.jobs.workspace import Workspace
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.step_interface import Steps, no_test_set, wrap_each
from kmpl.reports import experiment_report
from kmpl.runtime.devices import use_threads
from kmpl.store.cached_steps import cached
from kmpl.tracking.experiment_runs import experiment_run

Inputs = TypeVar("Inputs")
Result = TypeVar("Result")
Summary = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentJob:
    """One experiment of a sweep."""

    name: str
    config: ExperimentConfig
    workspace: Workspace
    tags: tuple[tuple[str, str], ...]
    """What its run in MLflow is found by."""

    @property
    def needs_folder(self) -> bool:
        """Whether processes agree by files in the folder of runs: each experiment is one process's alone."""
        return False


Wrap = Callable[[Steps, str], Steps]
"""Steps and the experiment's name → the same steps as the engine runs them."""


def identity(steps: Steps, name: str) -> Steps:  # noqa: ARG001
    """Return the steps as they are, for an engine that wraps nothing."""
    return steps


def without_test_set(workspace: Workspace, name: str) -> Steps:
    """Return steps that are cached and told of, without a way to the test set."""
    watch = Journal(workspace.events, cell=name).watch()
    steps = Steps(evaluate=no_test_set("the test set is not opened here"), watch=watch)
    return wrap_each(cached(steps, workspace.store), named_in_errors)


def run_experiment(wrap: Wrap, job: ExperimentJob) -> Summary:
    """Run one experiment with steps that are kept, track it, and return its summary."""
    exit_with_parent()
    with error_context(job.name):
        job = received(job)
    use_threads(job.config.threads)
    journal = Journal(job.workspace.events, cell=job.name)
    client = tracking.open_store(job.workspace.mlruns)
    tags = dict(job.tags)
    with (
        error_context(job.name),
        tracking.store_answers(),
        experiment_run(client, job.config, job.workspace.command, tags) as tracked,
    ):
        journal.write(kind="begun")
        plain = Steps(
            evaluate=evaluate,
            watch=journal.watch(),
            begun=tracked.log_pool,
            entering=lambda arm: journal.write(kind="arm", arm=arm),
            report=tracked.log_arm,
        )
        steps = wrap_each(cached(plain, job.workspace.store), named_in_errors)
        outcome = experiment.run(job.config, wrap(steps, job.name))
        numbers = experiment_report.summary(job.config, outcome, tracked.id)
        tracked.log_report(outcome, numbers)
        journal.write(kind="finished")
    return numbers


def named_in_errors(name: str, step: Callable[[Inputs], Result]) -> Callable[[Inputs], Result]:
    """Return the same step; every error in it says which step it was."""

    def run(inputs: Inputs) -> Result:
        with error_context(name.replace("_", "-")):
            return step(inputs)

    return run


@contextlib.contextmanager
def error_context(name: str) -> Iterator[None]:
    """Say in every error where it was."""
    try:
        yield
    except UserError as error:
        error.add_context(name)
        raise
    except Exception as error:
        error.add_note(f"in {name}")
        raise
