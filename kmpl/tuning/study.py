"""One study: ask for values, train with them, tell what validation says; and what all its trials show."""

import contextlib
import itertools
import json
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.pruners import MedianPruner
from optuna.trial import TrialState
from optuna_dashboard import save_note

from kmpl.errors import DivergedError, PrunedError, UserError
from kmpl.models.embedding import predict
from kmpl.reports.figures import png
from kmpl.reports.studies import State, StudyRecord
from kmpl.reports.study_plots import of_study, of_trial
from kmpl.tracking.study_runs import StudyRun, TrialRun
from kmpl.tuning import reevaluation
from kmpl.tuning.pruning import PARTS, Course, value
from kmpl.tuning.search_space import differences
from kmpl.tuning.study_records import note, record_of, trial_note
from kmpl.tuning.study_task import Desk, Task
from kmpl.tuning.trial_claims import Queue, Worker, counts

_KEY = "key"  # user attribute: tells a study from one of the same name that was deleted
_PRUNER = MedianPruner(
    n_startup_trials=5,  # complete ones, before any is pruned
    n_warmup_steps=PARTS // 2,  # nor in the first half of the first training
    n_min_trials=3,  # with a value at the same point
)


def run_study(task: Task, desk: Desk) -> StudyRecord:
    """Run what is missing of a study, alone or beside other processes, and return what it found.

    Raises:
        UserError: the study exists for other settings or another space, or all its trials diverged.
    """
    study, earlier = _open(task, desk)
    queue = Queue(study, task.space, task.trials, [*task.starts, *earlier], task.seed, desk.locks, desk.file)
    with Worker(desk.locks, desk.file) as worker, _still_there(study):
        with queue.alone():
            run = _tracked(task, desk, queue)
        with _closing(run, queue, worker):
            while claimed := queue.claim(worker):
                run.goes_on()
                _trial(task, desk, worker, run, *claimed)
            reevaluation.play(task, desk, study)
            record = record_of(task, study, run.id)
            if not record.finals:
                raise UserError(
                    f"study '{task.name}': all {task.trials} trials diverged; give a smaller learning rate to start "
                    "from"
                )
            if run.open:
                with queue.alone():
                    run.closed({name: png(figure) for name, figure in of_study(record).items()}, note(task, record))
                    save_note(study, note(task, record))
    return record


def _tracked(task: Task, desk: Desk, queue: Queue) -> StudyRun:
    """Return the study's run in MLflow; who calls this is alone."""
    study = queue.study
    if not study.user_attrs.get(_KEY):
        study.set_user_attr(_KEY, uuid.uuid4().hex)
    name, key = study.study_name, study.user_attrs[_KEY]
    run = StudyRun(desk.client, name, desk.sweep, task.settings, note(task), key, old=bool(study.trials))
    run.close_dead({t.number for t in queue.revive() if queue.alive(t)})
    if not study.trials:
        save_note(study, note(task))
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            study.set_metric_names(["accuracy on validation"])
    return run


@contextlib.contextmanager
def _still_there(study: optuna.Study) -> Iterator[None]:
    """Say in one line that a study was deleted under the process at work on it.

    Optuna raises whatever its storage comes upon then: KeyError, UnboundLocalError, errors of the database.

    Raises:
        UserError: instead.
    """
    key = study.user_attrs.get(_KEY)
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not _is_deleted(study, key):
            raise
        raise UserError(
            f"study '{study.study_name}' was deleted while it was tuned (on Optuna's pages?); the same command begins "
            "it anew: its trainings are in the store, so it soon is where it was"
        ) from error


def _is_deleted(study: optuna.Study, key: str | None) -> bool:
    """Say whether a study is gone, or another one of its name in its place; False where the storage does not say."""
    try:
        there = {one.study_name: one.user_attrs for one in study._storage.get_all_studies()}
    except Exception:
        return False
    now = there.get(study.study_name)
    return now is None or (key is not None and now.get(_KEY) != key)


@contextlib.contextmanager
def _closing(run: StudyRun, queue: Queue, worker: Worker) -> Iterator[None]:
    """Close the study's run when the block ends before it is done, unless others are at work on it."""
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, Exception) and not _is_deleted(queue.study, run.key)
        with contextlib.suppress(Exception):  # the store may be what failed
            run.stopped("FAILED" if failed else "KILLED", lambda: _others(queue, worker))
        raise


def _others(queue: Queue, worker: Worker) -> bool:
    """Say whether another process is at work on the study."""
    try:
        trials = queue.study.get_trials(deepcopy=False)
    except Exception:  # deleted
        return False
    return any(queue.alive(t) and t.user_attrs.get("worker", {}).get("lock") != str(worker.path) for t in trials)


def _open(task: Task, desk: Desk) -> tuple[optuna.Study, list[dict[str, Any]]]:
    """Return the study, made if there is none, and what is to be tried first besides the task's.

    More trials may change what the study before found best. All trials of a study build on the same, so then a further
    one begins, and the best of the one that it takes the place of is tried first.

    Raises:
        UserError: the study of that name is another one.
    """
    earlier: list[dict[str, Any]] = []
    for number in itertools.count(1):
        name = task.name if number == 1 else f"{task.name} ({number})"
        study = optuna.create_study(
            storage=desk.storage, study_name=name, direction="maximize", pruner=_PRUNER, load_if_exists=True
        )
        _refuse_other(study, "settings", "stands for other settings", json.loads(json.dumps(dict(task.settings))))
        space = {setting: str(one) for setting, one in task.space.items()}
        _refuse_other(study, "search space", "searches another space", space)
        if study.user_attrs.get("builds on") is None:
            study.set_user_attr("builds on", dict(task.begin))
        if study.user_attrs["builds on"] == dict(task.begin):
            return study, earlier
        earlier += [study.best_params] if any(t.state == TrialState.COMPLETE for t in study.trials) else []
    raise AssertionError("there is always a next number")


def _refuse_other(study: optuna.Study, what: str, other: str, now: Mapping[str, Any]) -> None:
    before = study.user_attrs.get(what)
    if before is None:
        study.set_user_attr(what, now)
    elif differing := differences(before, now):
        raise UserError(
            f"study '{study.study_name}' {other}: {differing}; give the same again, or the sweep another "
            "--name (steps that did not change are not computed again)"
        )


def _trial(task: Task, desk: Desk, worker: Worker, run: StudyRun, trial: optuna.Trial, values: dict[str, Any]) -> None:
    """Run one trial. Its study is told at the very end: whatever dies before leaves it to be tried again."""
    tracked = run.trial(trial.number, values)
    trial.set_user_attr("MLflow run", tracked.id)

    def tell(one: float, step: int) -> None:
        worker.sign(trial)
        trial.report(one, step)
        tracked.told(one, step)
        if trial.should_prune():
            turn, part = divmod(step - 1, PARTS)
            where = f"at {part + 1}/{PARTS} of " + (f"round {turn + 1}" if course.rounds > 1 else "the training")
            raise PrunedError(f"{where} below the median of the trials before")

    course = Course(tell, rounds=int(values.get("pseudo_labels.rounds", 1)))
    figures: dict[str, bytes] = {}
    numbers: dict[str, float] = {}
    state: State = "complete"
    ended, why = TrialState.COMPLETE, ""
    with _interrupted(tracked):
        try:
            fit, rounds = task.train(values, course, task.draw)
        except PrunedError as stop:
            state, ended, why = "pruned", TrialState.PRUNED, str(stop)
        except DivergedError as error:
            state, ended, why = "diverged", TrialState.FAIL, str(error)
            trial.set_user_attr("diverged", why)
        else:
            accuracy, loss = fit.validation_accuracy, fit.validation_loss
            numbers = {"validation/accuracy": accuracy, "validation/loss": loss, "value": value(accuracy, loss)}
            probabilities = predict(fit.network, task.pool.validation_images)
            drawn = of_trial(task.pool, probabilities, rounds, task.arm)
            figures = {name: png(figure) for name, figure in drawn.items()}
        seconds = {"computed": course.computed, "found": course.found, "pruned": course.pruned}
        for name, number in (numbers | {f"seconds {k}": v for k, v in seconds.items()}).items():
            trial.set_user_attr(name, number)
        _attach(trial, desk.mlruns / "studies", figures)
        save_note(trial, trial_note(state, why, numbers, tracked.page))
        tracked.closed(state, numbers | {f"seconds/{k}": v for k, v in seconds.items()}, figures, why)
        trial.study.tell(trial, numbers.get("value"), state=ended)
    said = f"validation {numbers['validation/accuracy']:.2%}" if numbers else f"{state}: {why}"
    done = sum(counts(t) for t in trial.study.get_trials(deepcopy=False))
    said = f"trial {trial.number}, {done} of {task.trials} done: {said}"
    desk.told(f"{trial.study.study_name}: {said}", task.progress(done))


@contextlib.contextmanager
def _interrupted(tracked: TrialRun) -> Iterator[None]:
    """Close the run of a trial that does not come to its end; the trial itself is left to who comes next."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the store may be what failed
            tracked.killed()
        raise


def _attach(trial: optuna.Trial, folder: Path, figures: Mapping[str, bytes]) -> None:
    """Show figures on the trial's page of Optuna's dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(base_path=str(folder))
    with tempfile.TemporaryDirectory() as drafts:
        for name, picture in figures.items():
            path = Path(drafts) / f"{name}.png"
            path.write_bytes(picture)
            upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
