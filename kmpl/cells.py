"""One experiment of a sweep: steps kept, runs tracked, progress told, in this process or in one of its own."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from kmpl import experiment, report, tracking
from kmpl.checkpoints import kept
from kmpl.config import ExperimentConfig
from kmpl.devices import use_threads
from kmpl.errors import UserError
from kmpl.evaluation import evaluate
from kmpl.experiment import Steps
from kmpl.progress import Journal
from kmpl.store import Store
from kmpl.tracking.runs import experiment_run

Summary = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a sweep works, and how it was asked for."""

    mlruns: Path
    command: str = ""
    events: Path | None = None
    """File that tells of progress."""
    studies: str = ""
    """Address of Optuna's storage; empty: the environment's, or a journal in the folder."""

    @property
    def store(self) -> Store:
        """The store of steps."""
        return Store(self.mlruns / "cache")


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
C = TypeVar("C")
R = TypeVar("R")


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
    live_and_die_with_parent()
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
            begun=tracked.begun,
            entering=lambda arm: journal.write(kind="arm", arm=arm),
            finished=tracked.finished,
        )
        outcome = experiment.run(cell.config, wrap(_naming_themselves(kept(plain, cell.place.store)), cell.name))
        numbers = report.summary(cell.config, outcome, tracked.id)
        tracked.closed(outcome, numbers)
        journal.write(kind="finished")
    return numbers


def in_processes(run: Callable[[C], R], cells: Sequence[C], jobs: int) -> Iterator[Callable[[], R]]:
    """Yield what waits for each piece of work: done here one by one, or in processes of its own."""
    if jobs == 1:
        yield from (partial(run, cell) for cell in cells)
        return
    # Not forked: a fork of a process that has computed with threads may hang.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), signal.signal, _IGNORED) as pool:
        try:
            yield from [pool.submit(run, cell).result for cell in cells]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_GRACE = 5.0  # seconds


@contextlib.contextmanager
def stopping_all() -> Iterator[None]:
    """Stop this one's processes too when it is stopped by a signal to it alone, as a cancelled flow run is.

    They close their runs as on Ctrl-C, which the terminal sends to all of them; who does not within seconds is killed.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            with contextlib.suppress(ProcessLookupError, TypeError):  # it has ended, or not begun
                os.kill(child.pid, signal.SIGINT)  # type: ignore[arg-type]
        end = time.monotonic() + _GRACE
        while any(child.is_alive() for child in children) and time.monotonic() < end:
            time.sleep(0.1)
        for child in children:
            child.kill()
        raise


_IGNORED = (signal.SIGINT, signal.SIG_IGN)  # an idle process has nothing to interrupt


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


@cache
def live_and_die_with_parent() -> None:
    """In a process of its own: let Ctrl-C interrupt, and end when the parent is killed, so that nobody works unseen."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
