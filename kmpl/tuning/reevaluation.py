"""The finals of a study: its best trials and the untuned settings meet on further draws, and the mean decides.

The best of many trials on one draw of few validation images is the luckiest as well as the best. Draws that the study
has not seen tell the two apart, and cost little: only a handful of trials meet there.
"""

import hashlib
import time
from collections.abc import Iterator

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from kmpl.errors import DivergedError
from kmpl.reports.studies import FinalRecord
from kmpl.training.watch import ignore
from kmpl.tuning.pruning import Course, value
from kmpl.tuning.study_task import Desk, Task

FINALISTS = 3
"""Best trials that meet again; the untuned settings come on top."""


def play(task: Task, desk: Desk, study: optuna.Study) -> None:
    """Train what is missing of the finals, alone or beside other processes; return when all of it is there.

    Values are kept with the study: a trial that is finished takes no more. Processes on other machines, whose locks
    nobody sees here, may compute a value twice; it is the same value.
    """
    while missing := list(_missing(task, study)):
        for trial, seed in missing:
            _play_one(task, desk, study, trial, seed)
        time.sleep(0.1)  # others may be at work on the rest


def _play_one(task: Task, desk: Desk, study: optuna.Study, trial: FrozenTrial, seed: int) -> None:
    key = _key(trial, seed)
    lock = hashlib.sha256(f"{study.study_name}, {key}".encode()).hexdigest()[:16]
    try:
        with FileLock(desk.locks / f"final-{lock}.lock", timeout=0):
            if key in study.user_attrs:
                return
            try:
                fit, _ = task.train(trial.params, Course(ignore), seed)
                reached = value(fit.validation_accuracy, fit.validation_loss)
            except DivergedError:
                reached = 0.0
            study.set_user_attr(key, reached)
    except Timeout:
        return
    said = f"trial {trial.number} again, on seed {seed}: validation {reached:.2%}"
    desk.told(f"{study.study_name}: {said}", task.progress(task.trials))


def standing(task: Task, study: optuna.Study) -> tuple[FinalRecord, ...]:
    """Return the finalists with their values on all draws, the best mean first; empty if no trial is complete."""
    attrs = study.user_attrs
    records = [
        FinalRecord(number=t.number, values=(t.value or 0.0, *(attrs[_key(t, seed)] for seed in task.further)))
        for t in _finalists(task, study)
    ]
    return tuple(sorted(records, key=lambda record: (-record.mean, record.number)))


def _finalists(task: Task, study: optuna.Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    untuned = [trial for trial in ranked[FINALISTS:] if trial.params in task.starts[:1]]
    return ranked[:FINALISTS] + untuned[:1]


def _missing(task: Task, study: optuna.Study) -> Iterator[tuple[FrozenTrial, int]]:
    done, met = study.user_attrs, _finalists(task, study)
    return ((trial, seed) for seed in task.further for trial in met if _key(trial, seed) not in done)


def _key(trial: FrozenTrial, seed: int) -> str:
    return f"trial {trial.number} on seed {seed}"
