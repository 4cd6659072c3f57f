"""One experiment of a sweep: steps kept, runs tracked, progress told, in this process or in one of its own."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.errors import UserError
from kmpl.jobs.journal import Journal
from kmpl.jobs.workers import exit_with_parent
from kmpl.jobs.workspace import Place
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.experiment import Steps
from kmpl.reports import experiment_report
from kmpl.runtime.devices import use_threads
from kmpl.store.cached_steps import kept
from kmpl.tracking.experiment_runs import experiment_run

Summary = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One experiment of a sweep."""

    name: str
    config: ExperimentConfig
    place: Place
    tags: tuple[tuple[str, str], ...]
    """What its run in MLflow is found by."""


Wrap = Callable[[Steps, str], Steps]
"""Steps and the experiment's name → the same steps as the engine runs them."""


def as_they_are(steps: Steps, name: str) -> Steps:  # noqa: ARG001
    return steps


def untested(place: Place, name: str) -> Steps:
    """Return steps that are kept and told of, without a way to the test set."""

    def closed(*_: object) -> Any:
        raise AssertionError("the test set is not opened here")

    watch = Journal(place.events, cell=name).watch()
    return _naming_themselves(kept(Steps(evaluate=closed, watch=watch), place.store))


def run_cell(wrap: Wrap, cell: Cell) -> Summary:
    """Run one experiment with steps that are kept, track it, and return its summary."""
    exit_with_parent()
    use_threads(cell.config.threads)
    journal = Journal(cell.place.events, cell=cell.name)
    client, tags = tracking.open_store(cell.place.mlruns), dict(cell.tags)
    with (
        saying(cell.name),
        tracking.store_answers(),
        experiment_run(client, cell.config, cell.place.command, tags) as tracked,
    ):
        journal.write(kind="begun")
        plain = Steps(
            evaluate=evaluate,
            watch=journal.watch(),
            begun=tracked.log_pool,
            entering=lambda arm: journal.write(kind="arm", arm=arm),
            finished=tracked.log_arm,
        )
        outcome = experiment.run(cell.config, wrap(_naming_themselves(kept(plain, cell.place.store)), cell.name))
        numbers = experiment_report.summary(cell.config, outcome, tracked.id)
        tracked.log_report(outcome, numbers)
        journal.write(kind="finished")
    return numbers


def _naming_themselves(steps: Steps) -> Steps:
    """Return the same steps, which say in every failure which step it was."""

    def named(name: str) -> Callable[..., Any]:
        step = getattr(steps, name)

        def run(*inputs: Any, **more: Any) -> Any:
            with saying(name.replace("_", "-")):
                return step(*inputs, **more)

        return run

    changed: dict[str, Any] = {n: named(n) for n in ("load", "pretrain", "pseudo_label", "retrain", "evaluate")}
    return replace(steps, **changed)


@contextlib.contextmanager
def saying(name: str) -> Iterator[None]:
    """Say in every failure where it was."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:
        error.add_note(f"in {name}")
        raise
