"""Jobs on the workers of a Dask scheduler: sent with what they need, and their events brought back to the terminal."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kmpl.jobs.journal import Journal
from kmpl.jobs.remote import sending


@contextmanager
def sent_to(runner: Any, jobs: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the jobs as they are sent; during the block what workers tell of them is written to the file of events.

    Args:
        runner: Prefect's runner of tasks on Dask.
        jobs: with one workspace.
    """
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
