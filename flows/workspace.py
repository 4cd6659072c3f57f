"""Where a flow run works: where ``kmpl sweep`` says, else ``KMPL_MLRUNS``, else ``mlruns``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from prefect import get_run_logger
from prefect.runtime import deployment
from rich.console import Console

from kmpl import tracking
from kmpl.config.sweep import SweepConfig
from kmpl.jobs import progress
from kmpl.jobs.workspace import Workspace
from kmpl.runtime import locks

# Not in the flow's own module: Prefect copies a flow with all it names into other processes, and this cannot be copied.
_HANDED: ContextVar[Workspace | None] = ContextVar("place", default=None)


@contextmanager
def handed(place: Workspace) -> Iterator[None]:
    """Let flows run within this block work at ``place``."""
    token = _HANDED.set(place)
    try:
        yield
    finally:
        _HANDED.reset(token)


@contextmanager
def chosen(settings: SweepConfig) -> Iterator[Workspace]:
    """Give the place to work at; a flow run that nobody watches tells of its progress in its own log."""
    place = _HANDED.get()
    if place is not None:
        yield place
        return
    mlruns = Path(os.environ.get("KMPL_MLRUNS", "mlruns")).resolve()
    tracking.open_store(mlruns)  # before this run's own lock: a folder that was moved is not touched while one is held
    command = f"prefect deployment run semi-supervised/{deployment.name}" if deployment.name else "semi_supervised()"
    with progress.shown(mlruns, settings, Console(quiet=True), say=get_run_logger().info) as events:
        yield Workspace(mlruns, command, events)


@contextmanager
def present(here: Workspace, run: str) -> Iterator[None]:
    """Hold a lock that says that a flow run is alive; the operating system lets go of it when this process dies."""
    with locks.present(_sign(here, run)):
        yield


def is_present(here: Workspace, run: str) -> bool:
    """Say whether a flow run is alive that works at this place."""
    return locks.is_present(_sign(here, run))


def _sign(here: Workspace, run: str) -> Path:
    return here.mlruns / "locks" / f"flow-{run}.lock"
