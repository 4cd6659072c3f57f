"""The results of a study: as a record, and as a note for the pages of Optuna and MLflow."""

from collections.abc import Mapping

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from kmpl.reports.studies import State, StudyRecord, TrialRecord
from kmpl.tuning.reevaluation import final_records
from kmpl.tuning.study_task import StudySpec
from kmpl.tuning.trial_claims import is_finished

_MIN_TRIALS_FOR_IMPORTANCES = 6  # complete trials; with fewer, importances say nothing


def study_note(spec: StudySpec, record: StudyRecord | None = None) -> str:
    """Return the note about a study, markdown; ``record`` is there once the study is finished."""
    n_images = len(spec.pool.validation_labels)
    lines = [
        f"**{spec.arm}** at labelled ratio {spec.ratio:g}, {spec.trials} trials.",
        f"*Value*: accuracy on {n_images:,} validation images out of the labelled budget, minus 10⁻⁶ × log-loss, which "
        f"decides where accuracy ties (it does: one image is {1 / n_images:.2%}). The test set is out of reach.",
        "*Pruned*: below the median of earlier trials at the same share of a training (eighths, round by round).",
    ]
    if record:
        pruned, cached = record.saved()
        best = ", ".join(f"`{name}` {number:.4g}" for name, number in record.best.items())
        winner = next(trial for trial in record.trials if trial.number == record.winner)
        lines += [
            f"*Best*: trial {record.winner}, {winner.accuracy or 0:.2%} of validation right: {best}.",
            f"Optuna's own column shows {winner.value or 0:.7f}, because it includes the log-loss.",
            *_finals(record),
            f"*Trials*: {record.count('complete')} complete, {record.count('pruned')} pruned, "
            f"{record.count('diverged')} diverged, {record.again} run again because their process died. Pruning saved "
            f"about {pruned:.0%} of the training, the store {cached:.0%}.",
        ]
    return "\n\n".join(lines)


def _finals(record: StudyRecord) -> list[str]:
    if len(record.finals[0].values) == 1:
        return []
    texts = [f"trial {f.number}: {', '.join(f'{v:.2%}' for v in f.values)}, mean {f.mean:.2%}" for f in record.finals]
    return ["*Finals*: " + "; ".join(texts) + ". The mean decides."]


def trial_note(state: State, *, why: str, numbers: Mapping[str, float], run_url: str) -> str:
    """Return the note about a trial, markdown."""
    paragraphs = [f"**{state}**" + (f": {why}" if why else "")]
    if numbers:
        accuracy = numbers["validation/accuracy"]
        loss = numbers["validation/loss"]
        paragraphs.append(f"{accuracy:.2%} of validation right, log-loss {loss:.4f}")
    return "\n\n".join([*paragraphs, f"[The run in MLflow]({run_url})"])


def study_record(spec: StudySpec, study: optuna.Study, run_id: str) -> StudyRecord:
    """Return the results of a study so far; ``run_id`` is its run in MLflow."""
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    finals = final_records(spec, study)
    winner = next((t for t in complete if t.number == finals[0].number), None) if finals else None
    return StudyRecord(
        name=study.study_name,
        ratio=spec.ratio,
        arm=spec.arm,
        space={name: (limits.low, limits.high, limits.log) for name, limits in spec.space.items()},
        start={name: spec.settings[name] for name in spec.space},
        best=dict(winner.params) if winner else {},
        finals=finals,
        trials=tuple(_trial_record(t) for t in trials if is_finished(t)),
        again=sum(t.state == TrialState.FAIL and not is_finished(t) for t in trials),
        importances=_importances(study) if len(complete) >= _MIN_TRIALS_FOR_IMPORTANCES else {},
        validation=len(spec.pool.validation_labels),
        run=run_id,
    )


def _trial_record(trial: FrozenTrial) -> TrialRecord:
    attributes = trial.user_attrs
    state: State = "complete" if trial.state == TrialState.COMPLETE else "pruned"
    return TrialRecord(
        number=trial.number,
        state="diverged" if "diverged" in attributes else state,
        params=trial.params,
        value=trial.value,
        accuracy=attributes.get("validation/accuracy"),
        loss=attributes.get("validation/loss"),
        computed=attributes.get("seconds computed", 0.0),
        found=attributes.get("seconds found", 0.0),
        pruned=attributes.get("seconds pruned", 0.0),
        run=attributes.get("MLflow run", ""),
    )


def _importances(study: optuna.Study) -> dict[str, float]:
    try:
        importances = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):  # all values are equal
        return {}
    return {name: float(share) for name, share in importances.items() if np.isfinite(share)}
