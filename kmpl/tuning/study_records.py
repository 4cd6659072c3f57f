"""What a study found, as a record, and in words for the pages of Optuna and MLflow."""

from collections.abc import Mapping

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from kmpl.reports.studies import State, StudyRecord, TrialRecord
from kmpl.tuning.reevaluation import standing
from kmpl.tuning.study_task import Task
from kmpl.tuning.trial_claims import counts

_ENOUGH = 6  # complete trials before importances say anything


def note(task: Task, record: StudyRecord | None = None) -> str:
    """Return what the pages say about a study."""
    n = len(task.pool.validation_labels)
    lines = [
        f"**{task.arm}** at labelled ratio {task.ratio:g}, {task.trials} trials.",
        f"*Value*: accuracy on {n:,} validation images out of the labelled budget, minus 10⁻⁶ × log-loss, which "
        f"decides where accuracy ties (it does: one image is {1 / n:.2%}). The test set is out of reach.",
        "*Pruned*: below the median of earlier trials at the same share of a training (eighths, round by round).",
    ]
    if record:
        pruned, found = record.saved()
        best = ", ".join(f"`{name}` {number:.4g}" for name, number in record.best.items())
        won = next(trial for trial in record.trials if trial.number == record.winner)
        lines += [
            f"*Best*: trial {record.winner}, {won.accuracy or 0:.2%} of validation right: {best}.",
            f"Optuna's own column shows it as {won.value or 0:.7f}: the log-loss is in there.",
            *_finals(record),
            f"*Trials*: {record.count('complete')} complete, {record.count('pruned')} pruned, "
            f"{record.count('diverged')} diverged, {record.again} run again because their process died. Pruning saved "
            f"about {pruned:.0%} of the training, the store {found:.0%}.",
        ]
    return "\n\n".join(lines)


def _finals(record: StudyRecord) -> list[str]:
    if len(record.finals[0].values) == 1:
        return []
    told = [f"trial {f.number}: {', '.join(f'{v:.2%}' for v in f.values)}, mean {f.mean:.2%}" for f in record.finals]
    return ["*Finals*: " + "; ".join(told) + ". The mean decides."]


def trial_note(state: State, why: str, numbers: Mapping[str, float], page: str) -> str:
    """Return what the pages say about a trial."""
    said = [f"**{state}**" + (f": {why}" if why else "")]
    if numbers:
        said += [f"{numbers['validation/accuracy']:.2%} of validation right, log-loss {numbers['validation/loss']:.4f}"]
    return "\n\n".join([*said, f"[The run in MLflow]({page})"])


def record_of(task: Task, study: optuna.Study, run: str) -> StudyRecord:
    """Return what a study found so far; ``run`` is its id in MLflow."""
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    met = standing(task, study)
    won = next((t for t in complete if t.number == met[0].number), None) if met else None
    return StudyRecord(
        name=study.study_name,
        ratio=task.ratio,
        arm=task.arm,
        space={name: (one.low, one.high, one.log) for name, one in task.space.items()},
        start={name: task.settings[name] for name in task.space},
        best=dict(won.params) if won else {},
        finals=met,
        trials=tuple(_trial_record(t) for t in trials if counts(t)),
        again=sum(t.state == TrialState.FAIL and not counts(t) for t in trials),
        importances=_importances(study) if len(complete) >= _ENOUGH else {},
        validation=len(task.pool.validation_labels),
        run=run,
    )


def _trial_record(trial: FrozenTrial) -> TrialRecord:
    about = trial.user_attrs
    state: State = "complete" if trial.state == TrialState.COMPLETE else "pruned"
    return TrialRecord(
        number=trial.number,
        state="diverged" if "diverged" in about else state,
        params=trial.params,
        value=trial.value,
        accuracy=about.get("validation/accuracy"),
        loss=about.get("validation/loss"),
        computed=about.get("seconds computed", 0.0),
        found=about.get("seconds found", 0.0),
        pruned=about.get("seconds pruned", 0.0),
        run=about.get("MLflow run", ""),
    )


def _importances(study: optuna.Study) -> dict[str, float]:
    try:
        found = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):  # all values are equal
        return {}
    return {name: float(share) for name, share in found.items() if np.isfinite(share)}
