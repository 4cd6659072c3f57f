"""Records of tuning: trials, finals and studies, readable without Optuna."""

from typing import Any, Literal, NamedTuple

from kmpl.reports.records import Frozen

State = Literal["complete", "pruned", "diverged"]


class TrialRecord(Frozen):
    """One trial that was completed, was pruned, or diverged."""

    number: int
    """Optuna's number; missing numbers are trials whose process died."""
    state: State
    params: dict[str, float]
    """Values of the settings, by dotted name."""
    value: float | None
    """The value that the study maximises; of a pruned trial its last intermediate value; None if it diverged."""
    accuracy: float | None
    """On validation, a fraction; None unless complete."""
    loss: float | None
    """On validation, nats."""
    computed: float
    """Seconds of training that this trial ran."""
    found: float
    """Seconds of training that the store held."""
    pruned: float
    """Seconds of training that pruning saved, estimated from the epochs that were run."""
    run: str
    """MLflow's id of the run."""


class FinalRecord(Frozen):
    """A trial re-evaluated on further draws, which decide about the best trial."""

    number: int
    """Number of the trial."""
    values: tuple[float, ...]
    """The value that the study maximises: on the study's own draw, then on the further draws."""

    @property
    def mean(self) -> float:
        """Mean over the draws."""
        return sum(self.values) / len(self.values)


class SavedShares(NamedTuple):
    """Shares of all training time."""

    by_pruning: float
    """Estimated."""
    by_store: float


class StudyRecord(Frozen):
    """One study: an arm at one labelled ratio."""

    name: str
    ratio: float
    arm: str
    space: dict[str, tuple[float, float, bool]]
    """Lowest and highest value of each setting, and whether the search scale is logarithmic."""
    start: dict[str, float]
    """Values of the untuned settings."""
    best: dict[str, float]
    """Values of the best trial's settings."""
    finals: tuple[FinalRecord, ...]
    """The best trials and the untuned settings on all draws; the one with the best mean wins, and is first."""
    trials: tuple[TrialRecord, ...]
    """In the order of their numbers."""
    again: int
    """Number of trials whose process died; their values were tried again."""
    importances: dict[str, float]
    """Importance of each setting, a share (PED-ANOVA); empty if too few trials are complete."""
    validation: int
    """Number of validation images."""
    run: str
    """MLflow's id of the run."""

    @property
    def winner(self) -> int:
        """Number of the best trial."""
        return self.finals[0].number

    def count(self, state: State) -> int:
        """Return the number of trials that ended in this state."""
        return sum(trial.state == state for trial in self.trials)

    def saved(self) -> "SavedShares":
        """Return the shares of training time that pruning and the store saved."""
        pruned = sum(trial.pruned for trial in self.trials)
        stored = sum(trial.found for trial in self.trials)
        total = pruned + stored + sum(trial.computed for trial in self.trials)
        return SavedShares(pruned / total, stored / total) if total else SavedShares(0.0, 0.0)

    def results(self) -> dict[str, Any]:
        """Return the results, without times and ids: they are the same on every run of the study, killed or not."""
        trials = [{"state": t.state, "params": t.params, "value": t.value} for t in self.trials]
        finals = [final.values for final in self.finals]
        return {"ratio": self.ratio, "arm": self.arm, "best": self.best, "trials": trials, "finals": finals}
