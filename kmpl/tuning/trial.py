"""One trial of a study: train with its values, report intermediate values, log the result in Optuna and MLflow."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.trial import TrialState
from optuna_dashboard import save_note

from kmpl.errors import DivergedError, PrunedError
from kmpl.models.embedding import predict
from kmpl.reports.figures import png
from kmpl.reports.studies import State
from kmpl.reports.study_plots import of_trial
from kmpl.tracking.study_runs import StudyRun, TrialRun
from kmpl.tuning.pruning import VALUES_PER_TRAINING, TrialProgress, objective
from kmpl.tuning.study_mark import StudyMark
from kmpl.tuning.study_records import trial_note
from kmpl.tuning.study_task import StudyContext, StudySpec
from kmpl.tuning.trial_claims import Worker, is_finished


def run_trial(
    spec: StudySpec,
    context: StudyContext,
    run: StudyRun,
    *,
    worker: Worker,
    mark: StudyMark,
    trial: optuna.Trial,
    values: dict[str, Any],
) -> None:
    """Run one trial. Its result is written to the study last, so that a trial that dies before is run again."""
    trial_run = run.start_trial(trial.number, values)
    trial.set_user_attr("MLflow run", trial_run.id)
    progress = _pruned_progress(trial, trial_run, worker, mark, rounds=int(values.get("pseudo_labels.rounds", 1)))
    figures: dict[str, bytes] = {}
    numbers: dict[str, float] = {}
    state: State = "complete"
    optuna_state = TrialState.COMPLETE
    why = ""
    with _closed_if_killed(trial_run):
        try:
            fit, rounds = spec.train(values, progress, spec.draw_seed)
        except PrunedError as error:
            state = "pruned"
            optuna_state = TrialState.PRUNED
            why = str(error)
        except DivergedError as error:
            state = "diverged"
            optuna_state = TrialState.FAIL
            why = str(error)
            mark.check()
            trial.set_user_attr("diverged", why)
        else:
            accuracy = fit.validation_accuracy
            loss = fit.validation_loss
            numbers = {"validation/accuracy": accuracy, "validation/loss": loss, "value": objective(accuracy, loss)}
            probabilities = predict(fit.network, spec.pool.validation_images)
            plots = of_trial(spec.pool, probabilities, rounds, spec.arm)
            figures = {name: png(figure) for name, figure in plots.items()}
        mark.check()
        _attach_figures(trial, context.mlruns / "studies", figures)
        _store_result(trial, trial_run, progress, numbers=numbers, figures=figures, state=state, why=why)
        mark.check()
        trial.study.tell(trial, numbers.get("value"), state=optuna_state, skip_if_finished=True)
    _tell(spec, context, trial, f"validation {numbers['validation/accuracy']:.2%}" if numbers else f"{state}: {why}")


def _tell(spec: StudySpec, context: StudyContext, trial: optuna.Trial, result: str) -> None:
    """Tell whoever watches what a trial gave, and how many of the study are done."""
    finished = sum(is_finished(t) for t in trial.study.get_trials(deepcopy=False))
    message = f"{trial.study.study_name}: trial {trial.number}, {finished} of {spec.trials} done: {result}"
    context.on_trial(message, spec.progress(finished))


def _store_result(
    trial: optuna.Trial,
    trial_run: TrialRun,
    progress: TrialProgress,
    *,
    numbers: Mapping[str, float],
    figures: Mapping[str, bytes],
    state: State,
    why: str,
) -> None:
    """Write a trial's numbers and note into Optuna's attributes, and all of it into its run in MLflow."""
    seconds = {
        "computed": progress.computed_seconds,
        "found": progress.cached_seconds,
        "pruned": progress.pruned_seconds,
    }
    for name, number in numbers.items():
        trial.set_user_attr(name, number)
    for name, number in seconds.items():
        trial.set_user_attr(f"seconds {name}", number)
    save_note(trial, trial_note(state, why=why, numbers=numbers, run_url=trial_run.url))
    metrics = {**numbers, **{f"seconds/{name}": number for name, number in seconds.items()}}
    trial_run.finish(state, numbers=metrics, figures=figures, why=why)


def _pruned_progress(
    trial: optuna.Trial, trial_run: TrialRun, worker: Worker, mark: StudyMark, *, rounds: int
) -> TrialProgress:
    """Return a progress that reports each value to Optuna and MLflow, and stops the trial when Optuna prunes it."""

    def report(value: float, step: int) -> None:
        mark.check()
        worker.heartbeat(trial)
        trial.report(value, step)
        trial_run.add_value(value, step)
        if trial.should_prune():
            earlier_rounds, part = divmod(step - 1, VALUES_PER_TRAINING)
            training = f"round {earlier_rounds + 1}" if rounds > 1 else "the training"
            raise PrunedError(
                f"at {part + 1}/{VALUES_PER_TRAINING} of {training} below the median of the trials before"
            )

    return TrialProgress(report, rounds=rounds)


@contextlib.contextmanager
def _closed_if_killed(trial_run: TrialRun) -> Iterator[None]:
    """Close the run of a trial that is interrupted. The trial itself stays open, and another process redoes it."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the store itself may have failed
            trial_run.kill()
        raise


def _attach_figures(trial: optuna.Trial, folder: Path, figures: Mapping[str, bytes]) -> None:
    """Show figures on the trial's page of Optuna's dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(base_path=str(folder))
    with tempfile.TemporaryDirectory() as drafts:
        for name, content in figures.items():
            path = Path(drafts) / f"{name}.png"
            path.write_bytes(content)
            upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
