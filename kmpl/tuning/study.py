"""One study: run its trials one by one, alone or beside other processes, and log them in Optuna and MLflow."""

import contextlib
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.pruners import MedianPruner
from optuna.trial import TrialState
from optuna_dashboard import save_note

from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.errors import UserError
from kmpl.reports.figures import png
from kmpl.reports.studies import StudyRecord
from kmpl.reports.study_plots import of_study
from kmpl.tracking.study_runs import StudyRun
from kmpl.tuning.pruning import VALUES_PER_TRAINING
from kmpl.tuning.reevaluation import reevaluate
from kmpl.tuning.search_space import differences
from kmpl.tuning.study_mark import StudyMark
from kmpl.tuning.study_records import study_note, study_record
from kmpl.tuning.study_task import StudyContext, StudySpec
from kmpl.tuning.trial import run_trial
from kmpl.tuning.trial_claims import CLAIM, TrialClaims, Worker

_PRUNER = MedianPruner(
    n_startup_trials=5,  # complete ones, before any is pruned
    n_warmup_steps=VALUES_PER_TRAINING // 2,  # nor in the first half of the first training
    n_min_trials=3,  # with a value at the same point
)


def run_study(spec: StudySpec, context: StudyContext) -> StudyRecord:
    """Run the trials that a study still needs, alone or beside other processes, and return its results.

    Raises:
        UserError: the study exists with other settings or another space, or all its trials diverged.
    """
    study, earlier_values = _open_study(spec, context)
    with context.locks.hold(CLAIM):
        mark = StudyMark(study)
    claims = TrialClaims(
        study=study,
        mark=mark,
        space=spec.space,
        trials=spec.trials,
        first_values=[*spec.first_values, *earlier_values],
        seed=spec.seed,
        locks=context.locks,
        studies_file=context.studies_file,
    )
    with Worker(context.locks, context.studies_file) as worker, mark.deletion_reported():
        with claims.locks.hold(CLAIM):
            run = _open_run(spec, context, claims)
        with _closed_on_error(run, claims, worker):
            while claim := claims.claim(worker):
                trial, values = claim
                run.reopen()
                run_trial(spec, context, run, worker=worker, mark=mark, trial=trial, values=values)
            reevaluate(spec, context, study, mark)
            record = study_record(spec, study, run.id)
            if not record.finals:
                raise UserError(
                    f"study '{spec.name}': all {spec.trials} trials diverged; give a smaller learning rate to start "
                    "from"
                )
            if run.open:
                note = study_note(spec, record)
                with claims.locks.hold(CLAIM):
                    mark.check()
                    run.finish({name: png(figure) for name, figure in of_study(record).items()}, note)
                    save_note(study, note)
    return record


def _open_run(spec: StudySpec, context: StudyContext, claims: TrialClaims) -> StudyRun:
    """Return the study's run in MLflow. The caller holds the lock of the claims."""
    study = claims.study
    claims.mark.check()
    run = StudyRun(
        context.client,
        name=study.study_name,
        sweep=context.sweep,
        settings=spec.settings,
        note=study_note(spec),
        key=claims.mark.key,
        has_trials=bool(study.trials),
    )
    run.close_dead({t.number for t in claims.requeue_dead() if claims.is_running(t)})
    if not study.trials:
        save_note(study, study_note(spec))
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            study.set_metric_names(["accuracy on validation"])
    return run


@contextlib.contextmanager
def _closed_on_error(run: StudyRun, claims: TrialClaims, worker: Worker) -> Iterator[None]:
    """Close the study's run if the block raises, unless other processes run trials of the study."""
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, Exception) and not claims.mark.is_gone()
        with contextlib.suppress(Exception):  # the store itself may have failed
            run.interrupt("FAILED" if failed else "KILLED", lambda: _has_other_workers(claims, worker))
        raise


def _has_other_workers(claims: TrialClaims, worker: Worker) -> bool:
    """Say whether another process runs a trial of the study."""
    try:
        trials = claims.study.get_trials(deepcopy=False)
    except Exception:  # deleted
        return False
    return any(claims.is_running(t) and t.user_attrs.get("worker", {}).get("lock") != worker.life for t in trials)


_DEFAULTS = flatten(ExperimentConfig().model_dump(mode="json"))
"""What an earlier version did that did not have a setting yet."""


def _open_study(spec: StudySpec, context: StudyContext) -> tuple[optuna.Study, list[dict[str, Any]]]:
    """Return the study, created if necessary, and the values to try after the specification's first values.

    All trials of a study build on the same values of earlier studies. More trials may change these. Then another study
    begins, and the best values of the study that it replaces are tried first.

    Raises:
        UserError: the study of that name has other settings or another space.
    """
    earlier_values: list[dict[str, Any]] = []
    for number in itertools.count(1):
        name = spec.name if number == 1 else f"{spec.name} ({number})"
        study = optuna.create_study(
            storage=context.storage, study_name=name, direction="maximize", pruner=_PRUNER, load_if_exists=True
        )
        settings = json.loads(json.dumps(dict(spec.settings)))
        _refuse_difference(study, "settings", current=settings, difference="stands for other settings")
        space = {setting: str(limits) for setting, limits in spec.space.items()}
        _refuse_difference(study, "search space", current=space, difference="searches another space")
        if study.user_attrs.get("builds on") is None:
            study.set_user_attr("builds on", dict(spec.base_values))
        if study.user_attrs["builds on"] == dict(spec.base_values):
            return study, earlier_values
        if any(t.state == TrialState.COMPLETE for t in study.trials):
            earlier_values.append(study.best_params)
    raise AssertionError("itertools.count never ends")


def _refuse_difference(study: optuna.Study, attribute: str, *, current: Mapping[str, Any], difference: str) -> None:
    """Store the values as a user attribute of a new study; refuse a study whose attribute differs from them."""
    previous = study.user_attrs.get(attribute)
    if previous is None:
        study.set_user_attr(attribute, current)
    elif text := differences({name: _DEFAULTS[name] for name in current if name in _DEFAULTS} | previous, current):
        raise UserError(
            f"study '{study.study_name}' {difference}: {text}; give the same again, or the sweep another "
            "--name (steps that did not change are not computed again)"
        )
