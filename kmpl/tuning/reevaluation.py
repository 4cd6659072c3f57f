"""Re-evaluation: a study's best trials and the untuned settings run on further draws of labels; the mean decides.

The best of many trials on one draw with few validation images may be lucky rather than good. Further draws, which the
study has not used, separate the two. They cost little, because only a handful of trials is re-evaluated.
"""

import hashlib
import time

import optuna
from optuna.trial import FrozenTrial, TrialState

from kmpl.errors import DivergedError
from kmpl.reports.studies import FinalRecord
from kmpl.training.watch import ignore
from kmpl.tuning.pruning import TrialProgress, objective
from kmpl.tuning.study_mark import StudyMark
from kmpl.tuning.study_task import StudyContext, StudySpec

N_FINALISTS = 3
"""Number of best trials that are re-evaluated; the trial of the untuned settings is added."""


def reevaluate(spec: StudySpec, context: StudyContext, study: optuna.Study, mark: StudyMark) -> None:
    """Compute the missing values of the finalists, alone or beside other processes; return when none is missing.

    The study stores the values, because a finished trial accepts no more. Processes that do not see each other's locks
    may compute a value twice, and it is the same value.
    """
    while missing := _missing(spec, study):
        for trial, seed in missing:
            _reevaluate_trial(spec, context, study, mark, trial=trial, seed=seed)
        time.sleep(0.1)  # other processes may compute the rest


def _reevaluate_trial(
    spec: StudySpec, context: StudyContext, study: optuna.Study, mark: StudyMark, *, trial: FrozenTrial, seed: int
) -> None:
    key = _key(trial, seed)
    lock = hashlib.sha256(f"{study.study_name}, {key}".encode()).hexdigest()[:16]
    with context.locks.try_hold(f"final-{lock}") as is_mine:
        if not is_mine or key in study.user_attrs:
            return
        try:
            fit, _ = spec.train(trial.params, TrialProgress(ignore), seed)
            value = objective(fit.validation_accuracy, fit.validation_loss)
        except DivergedError:
            value = 0.0
        mark.check()
        study.set_user_attr(key, value)
    message = f"{study.study_name}: trial {trial.number} again, on seed {seed}: validation {value:.2%}"
    context.on_trial(message, spec.progress(spec.trials))


def final_records(spec: StudySpec, study: optuna.Study) -> tuple[FinalRecord, ...]:
    """Return the finalists with their values on all draws, the best mean first; empty if no trial is complete."""
    attributes = study.user_attrs
    records = [
        FinalRecord(
            number=trial.number,
            values=(trial.value or 0.0, *(attributes[_key(trial, seed)] for seed in spec.further_seeds)),
        )
        for trial in _finalists(spec, study)
    ]
    return tuple(sorted(records, key=lambda record: (-record.mean, record.number)))


def _finalists(spec: StudySpec, study: optuna.Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    untuned = [trial for trial in ranked[N_FINALISTS:] if trial.params in spec.first_values[:1]]
    return ranked[:N_FINALISTS] + untuned[:1]


def _missing(spec: StudySpec, study: optuna.Study) -> list[tuple[FrozenTrial, int]]:
    """Return each finalist with each seed that it has not been re-evaluated on."""
    attributes = study.user_attrs
    finalists = _finalists(spec, study)
    return [(trial, seed) for seed in spec.further_seeds for trial in finalists if _key(trial, seed) not in attributes]


def _key(trial: FrozenTrial, seed: int) -> str:
    """Return the name of the study's user attribute that holds the value."""
    return f"trial {trial.number} on seed {seed}"
