"""Jobs on the workers of a Dask scheduler: sent with what they need, and their events brought back to the terminal."""

import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kmpl.errors import UserError, WaitingWarning
from kmpl.jobs.journal import Journal
from kmpl.jobs.remote import Job, sending
from kmpl.jobs.scheduler import check_scheduler
from kmpl.runtime.addresses import shown

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner


def dask_runner(address: str) -> "TaskRunner[Any] | None":
    """Return what runs tasks on a scheduler's workers; None without an address.

    Raises:
        UserError: an error of ``check_scheduler``.
    """
    if not address:
        return None
    check_scheduler(address)
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def waiting(future: Any, job: Job) -> Callable[[], Any]:
    """Return what waits for a job that was sent, and says in one line if Dask itself has given it up."""
    name, address = job.name, job.workspace.addresses.scheduler

    def wait() -> Any:
        from distributed.scheduler import KilledWorker

        again = "run the same command again: all finished steps are kept"
        try:
            return future.result()
        except KilledWorker as error:
            raise UserError(
                f"{name}: {error.allowed_failures + 1} workers died at it, the last one was {error.last_worker.address}"
                f"; look why (had they memory enough?), start workers, and {again}"
            ) from error
        except CancelledError as error:
            raise UserError(
                f"{name}: Dask's scheduler at {shown(address)} is gone; start it and its workers, and {again}"
            ) from error

    return wait


def _warn_without_workers(runner: Any) -> None:
    if not runner.client.scheduler_info(n_workers=1)["workers"]:
        warnings.warn(
            f"Dask's scheduler at {runner.address} has no workers yet; they are waited for: dask worker "
            f"{runner.address} --nthreads 1 --no-nanny",
            WaitingWarning,
            stacklevel=2,
        )


@contextmanager
def sent_to(runner: Any, jobs: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the jobs as they are sent; during the block what workers tell of them is written to the file of events.

    Args:
        runner: Prefect's runner of tasks on Dask.
        jobs: with one workspace.
    """
    _warn_without_workers(runner)
    topic = f"kmpl-{uuid.uuid4().hex}"
    events = jobs[0].workspace.events
    if isinstance(events, Path):
        runner.client.subscribe_topic(topic, _written_to(events))
    try:
        with sending(jobs, topic) as ready:
            yield ready
    finally:
        if isinstance(events, Path):
            runner.client.unsubscribe_topic(topic)


def _written_to(events: Path) -> Callable[[tuple[float, dict[str, Any]]], None]:
    journal = Journal(events)  # which writes this machine's time: another's clock says nothing here
    return lambda told: journal.write(**told[1])
