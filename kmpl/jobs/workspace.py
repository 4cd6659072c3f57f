"""The workspace of a job: the folders of its runs, studies and finished steps, and the addresses of those elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kmpl.jobs.journal import Topic
from kmpl.runtime.addresses import Addresses, addresses_of_environment, scratch
from kmpl.runtime.database_locks import open_locks
from kmpl.runtime.locks import Locks
from kmpl.store.remote_store import open_store
from kmpl.store.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What a worker on another machine must find before it begins."""

    by: str
    """Name of the machine that sent the job."""
    marks: tuple[Path, ...]
    """Files that it made in the folders that the worker must share with it."""
    environment: dict[str, Any]
    """What numbers depend on besides data and settings."""
    key: str
    """Digest of all that the result depends on, as the sender would compute it."""
    data: str | Path | None = None
    """Where a folder of images is: its key in the store, or its path on a disk that is shared."""


@dataclass(frozen=True)
class Workspace:
    """Where a job keeps what it makes, and the command that started it."""

    mlruns: Path
    command: str = ""
    events: Path | Topic | None = None
    """File of the events that show progress, or the way to it."""
    studies: str = ""
    """Address of Optuna's storage; empty: the environment's, or a journal in the folder."""
    addresses: Addresses = field(default_factory=addresses_of_environment)
    """Of tracking server, studies, store and scheduler, as they were where the job was started."""
    sent: Sent | None = None
    """What a worker elsewhere must find; None where the job was started."""

    @property
    def store(self) -> Store:
        """The store of steps.

        Raises:
            UserError: its address is none, or its library is not installed.
        """
        return open_store(self.addresses.store, self.mlruns / "cache")

    @property
    def scratch(self) -> Path:
        """The folder for what this machine can make or fetch again."""
        return scratch()

    @property
    def locks(self) -> Locks:
        """The locks by which processes agree on runs: on a sweep's name, the champion, who is alive.

        Raises:
            UserError: their address is of no PostgreSQL database.
        """
        at = self.addresses
        return open_locks(at.locks_for(at.tracking, self.studies or at.studies), self.mlruns / "locks")

    @property
    def shares_studies(self) -> bool:
        """Whether processes of all machines can tune together: neither studies nor locks lie in a folder."""
        at = self.addresses
        return bool(at.locks_for(self.studies or at.studies, at.tracking))

    @property
    def study_locks(self) -> Locks:
        """The locks by which processes agree on the trials of studies.

        Raises:
            UserError: their address is of no PostgreSQL database.
        """
        at = self.addresses
        return open_locks(at.locks_for(self.studies or at.studies, at.tracking), self.mlruns / "locks")
