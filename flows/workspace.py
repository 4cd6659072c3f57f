"""The workspace of a flow run: the one that ``kmpl sweep`` passes, else ``KMPL_MLRUNS``, else ``mlruns``."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prefect import get_run_logger
from prefect.runtime import deployment
from rich.console import Console

from kmpl import tracking
from kmpl.config.sweep import SweepConfig
from kmpl.jobs import progress
from kmpl.jobs.workspace import Workspace
from kmpl.runtime.addresses import runs_folder

# Not in the flow's module: Prefect pickles a flow with its globals for other processes, and a ContextVar cannot be
# pickled.
_PASSED: ContextVar[Workspace | None] = ContextVar("workspace", default=None)


@contextmanager
def use_workspace(workspace: Workspace) -> Iterator[None]:
    """Pass a workspace to the flows that run within this block."""
    token = _PASSED.set(workspace)
    try:
        yield
    finally:
        _PASSED.reset(token)


@contextmanager
def current_workspace(settings: SweepConfig) -> Iterator[Workspace]:
    """Yield the workspace. Without one from ``use_workspace``, progress goes to the flow run's log."""
    workspace = _PASSED.get()
    if workspace is not None:
        yield workspace
        return
    mlruns = runs_folder()
    tracking.open_store(
        mlruns
    )  # before this run's own lock: a moved folder is not relocated while a lock in it is held
    command = f"prefect deployment run semi-supervised/{deployment.name}" if deployment.name else "semi_supervised()"
    with progress.show_progress(mlruns, settings, Console(quiet=True), say=get_run_logger().info) as events:
        yield Workspace(mlruns, command, events)


@contextmanager
def flow_lock(workspace: Workspace, run_id: str) -> Iterator[None]:
    """Give a sign of the flow run's life during the block; it ends when this process dies."""
    with workspace.locks.living(f"flow-{run_id}"):
        yield


def is_alive(workspace: Workspace, run_id: str) -> bool:
    """Say whether the process of a flow run in this workspace is alive."""
    locks = workspace.locks
    return bool(locks.is_living(locks.address(f"flow-{run_id}"), platform.node()))
