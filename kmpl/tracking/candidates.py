"""Which networks of a sweep may ask to be champion, and what became of those whose runs were deleted on a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from kmpl.config.experiment import AFTER
from kmpl.config.sweep import SweepConfig
from kmpl.tracking.champion import Candidate, holds, promote
from kmpl.tracking.sweep_runs import SweepRun, restoring


class Candidates:
    """The pseudo-label networks of a sweep that may ask to be champion, and those whose runs were deleted on a page."""

    def __init__(self, settings: SweepConfig, sweep: SweepRun, summaries: Mapping[str, Mapping[str, Any]]) -> None:
        self.settings, self.sweep = settings, sweep
        self.candidates, self.deleted = list[Candidate](), dict[str, str]()
        task = f"{settings.experiment.dataset}, {settings.experiment.protocol} protocol"
        for name, summary in summaries.items():
            numbers = summary["arms"].get(AFTER, {})
            if numbers.get("validation_accuracy") is None:
                continue
            accuracy, loss = numbers["validation_accuracy"], numbers["validation_loss"]
            if run := sweep.arm(summary["mlflow_run_id"], AFTER):
                about = (task, accuracy, loss, summary["validation"], f"{settings.name}, {name}")
                self.candidates.append(Candidate(run, *about))
            else:
                self.deleted[name] = sweep.arm(summary["mlflow_run_id"], AFTER, deleted=True) or ""

    def is_registered(self) -> bool:
        """Say whether the registry holds what a finished report says of it."""
        runs = {candidate.run for candidate in self.candidates} | set(self.deleted.values())
        return not runs or holds(self.sweep.client, self.settings.model, runs)

    def promoted(self, lock: Path) -> str:
        """Let the best by validation ask to be champion; return what was decided.

        Args:
            lock: held meanwhile: two sweeps that end at once ask one after the other.
        """
        if not self.candidates:
            why = self._why_left_out() or "no pseudo-label network with a validation set"
            return f"no candidate: {why}"
        best = max(self.candidates, key=lambda candidate: candidate.rank)
        with FileLock(lock):
            said = promote(self.sweep.client, self.settings.model, best)
        return f"{said}; left out: {self._why_left_out()}" if self.deleted else said

    def _why_left_out(self) -> str:
        """Return what became of the networks whose runs are gone, and what brings them back."""
        if not self.deleted:
            return ""
        where, runs = ", ".join(self.deleted), [run for run in self.deleted.values() if run]
        said = f"the run of {AFTER} was deleted in MLflow ({where})"
        if not runs:
            return said
        others = f", likewise {', '.join(runs[1:])}" if runs[1:] else ""
        return f"{said}; {restoring(self.sweep.client, runs[0])}{others} and the same command again bring it back"
