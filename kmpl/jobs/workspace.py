"""The workspace of a job: the folders of its runs, studies and finished steps."""

from dataclasses import dataclass
from pathlib import Path

from kmpl.store.store import Store


@dataclass(frozen=True)
class Workspace:
    """The folders that a job writes to, and the command that started it."""

    mlruns: Path
    command: str = ""
    events: Path | None = None
    """File of the events that show progress."""
    studies: str = ""
    """Address of Optuna's storage; empty: the environment's, or a journal in the folder."""

    @property
    def store(self) -> Store:
        """The store of steps."""
        return Store(self.mlruns / "cache")

    def locks(self) -> Path:
        """Return the folder of the locks; create it if it is missing."""
        folder = self.mlruns / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
