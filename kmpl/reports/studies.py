"""What tuning found, as records that need no Optuna to be read."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["complete", "pruned", "diverged"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TrialRecord(_Frozen):
    """One trial that counts: it came to an end, was pruned, or diverged."""

    number: int
    """Optuna's; trials of processes that died are between."""
    state: State
    params: dict[str, float]
    """By dotted name."""
    value: float | None
    """What the study maximises; of a pruned trial the last value on its way; None if it diverged."""
    accuracy: float | None
    """On validation; None unless complete."""
    loss: float | None
    """On validation, nats."""
    computed: float
    """Seconds of training that were run."""
    found: float
    """Seconds of training that the store held."""
    pruned: float
    """Seconds of training that pruning left out, estimated from the epochs before."""
    run: str
    """MLflow's id."""


class FinalRecord(_Frozen):
    """A trial on all draws that decide."""

    number: int
    """Of the trial."""
    values: tuple[float, ...]
    """What the study maximises: on its own draw, then on the further ones."""

    @property
    def mean(self) -> float:
        """Over the draws."""
        return sum(self.values) / len(self.values)


class StudyRecord(_Frozen):
    """One study: an arm at one labelled ratio."""

    name: str
    ratio: float
    arm: str
    space: dict[str, tuple[float, float, bool]]
    """Lowest and highest value of each setting, and whether it is searched on a logarithmic scale."""
    start: dict[str, float]
    """Values of the untuned settings."""
    best: dict[str, float]
    """Values of the winner's settings."""
    finals: tuple[FinalRecord, ...]
    """The best trials, and the untuned settings, on all draws; the best mean, which wins, first."""
    trials: tuple[TrialRecord, ...]
    """By number."""
    again: int
    """Trials whose process died; their values were tried again."""
    importances: dict[str, float]
    """Share of each setting in what decided about good and bad trials (PED-ANOVA); empty where too few are complete."""
    validation: int
    """Validation images that decided."""
    run: str
    """MLflow's id."""

    @property
    def winner(self) -> int:
        """Number of the trial that won."""
        return self.finals[0].number

    def count(self, state: State) -> int:
        """Return how many trials ended so."""
        return sum(trial.state == state for trial in self.trials)

    def saved(self) -> tuple[float, float]:
        """Return the share of all training that pruning and the store saved (the former is estimated)."""
        pruned, found = sum(t.pruned for t in self.trials), sum(t.found for t in self.trials)
        whole = pruned + found + sum(t.computed for t in self.trials)
        return (pruned / whole, found / whole) if whole else (0.0, 0.0)

    def results(self) -> dict[str, Any]:
        """Return what does not depend on who ran the study, when, and how often it was killed."""
        trials = [{"state": t.state, "params": t.params, "value": t.value} for t in self.trials]
        finals = [final.values for final in self.finals]
        return {"ratio": self.ratio, "arm": self.arm, "best": self.best, "trials": trials, "finals": finals}
