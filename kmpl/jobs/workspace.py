"""Where a job's runs, studies and finished steps lie."""

from dataclasses import dataclass
from pathlib import Path

from kmpl.store.store import Store


@dataclass(frozen=True)
class Workspace:
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
