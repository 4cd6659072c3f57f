"""The networks of a sweep that may become champion, and those whose runs were deleted in MLflow."""

from collections.abc import Mapping
from typing import Any

from kmpl.config.experiment import AFTER
from kmpl.config.sweep import SweepConfig
from kmpl.runtime.locks import Locks
from kmpl.tracking.champion import Candidate, has_champion_and_version, promote
from kmpl.tracking.sweep_runs import SweepRun, restore_command


class Candidates:
    """The pseudo-label networks of a sweep that may become champion, and those whose runs were deleted in MLflow."""

    def __init__(self, settings: SweepConfig, sweep: SweepRun, summaries: Mapping[str, Mapping[str, Any]]) -> None:
        self.settings = settings
        self.sweep = sweep
        self.candidates: list[Candidate] = []
        self.deleted: dict[str, str] = {}
        """Name of each experiment whose run was deleted, and the id of that run; empty if it is unknown."""
        task = f"{settings.experiment.dataset}, {settings.experiment.protocol} protocol"
        for name, summary in summaries.items():
            numbers = summary["arms"].get(AFTER, {})
            if numbers.get("validation_accuracy") is None:
                continue
            run = sweep.arm_run(summary["mlflow_run_id"], AFTER)
            if run is None:
                self.deleted[name] = sweep.arm_run(summary["mlflow_run_id"], AFTER, deleted=True) or ""
                continue
            candidate = Candidate(
                run=run,
                task=task,
                accuracy=numbers["validation_accuracy"],
                loss=numbers["validation_loss"],
                images=summary["validation"],
                origin=f"{settings.name}, {name}",
            )
            self.candidates.append(candidate)

    def is_registered(self) -> bool:
        """Say whether the registry holds a champion, and a version of one of these networks."""
        runs = {candidate.run for candidate in self.candidates} | set(self.deleted.values())
        return not runs or has_champion_and_version(self.sweep.client, self.settings.model, runs)

    def promote_best(self, locks: Locks) -> str:
        """Promote the best network by validation if it beats the champion; return the decision in words.

        Args:
            locks: one is held during the comparison, so that two sweeps that end at once are compared one after the
                other.
        """
        if not self.candidates:
            reason = self._deletion_text() or "no pseudo-label network with a validation set"
            return f"no candidate: {reason}"
        best = max(self.candidates, key=lambda candidate: candidate.rank)
        with locks.hold("champion"):
            decision = promote(self.sweep.client, self.settings.model, best)
        return f"{decision}; left out: {self._deletion_text()}" if self.deleted else decision

    def _deletion_text(self) -> str:
        """Return the deleted runs and the commands that restore them, in words; empty if there are none."""
        if not self.deleted:
            return ""
        runs = [run for run in self.deleted.values() if run]
        text = f"the run of {AFTER} was deleted in MLflow ({', '.join(self.deleted)})"
        if not runs:
            return text
        others = f", likewise {', '.join(runs[1:])}" if runs[1:] else ""
        return f"{text}; {restore_command(self.sweep.client, runs[0])}{others} and the same command again bring it back"
