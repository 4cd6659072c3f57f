"""The steps of the experiment as Prefect tasks: named for people, timed out, retried where the outside may fail."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner
from prefect.tasks import exponential_backoff

from flows.remote import sent_to, waiting
from kmpl import tracking
from kmpl.errors import PrunedError
from kmpl.method.results import Voted
from kmpl.method.step_interface import Steps, wrap_each
from kmpl.training.history import Fit

T = TypeVar("T")
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTask:
    """How a step is run as a task."""

    title: str
    """Name of the task run; ``{arm}`` and ``{number}`` stand for the arm and the round."""
    timeout_seconds: float
    from_outside: bool = False
    """It works with what may fail for a moment (download, tracking server, storage), and is then tried again. The
    others are arithmetic: they would fail again."""
    summary: Callable[[Any], str] | None = None
    """The result → a line for Prefect's page."""


def _fit_line(fit: Fit) -> str:
    last = fit.history[fit.kept_epoch - 1]
    return (
        f"{fit.images} images, epoch {fit.kept_epoch} kept ({fit.stop_reason}), loss {last.loss:.3f}, "
        f"validation {100 * last.validation_accuracy:.2f} %, {fit.seconds:.1f} s"
    )


def _vote_line(voted: Voted) -> str:
    return f"{voted.labels.assigned} of {(voted.labels.rounds != 0).sum()} unlabelled images kept"


TASKS = {
    "load": StepTask(title="load", timeout_seconds=2 * _HOUR_SECONDS, from_outside=True),  # a slow download
    "embed": StepTask(title="embed", timeout_seconds=24 * _HOUR_SECONDS),
    "pretrain": StepTask(title="pretrain", timeout_seconds=24 * _HOUR_SECONDS, summary=_fit_line),
    "pretext": StepTask(title="{arm}: learn without labels", timeout_seconds=24 * _HOUR_SECONDS),
    "pseudo_label": StepTask(
        title="{arm}, round {number}: pseudo-label", timeout_seconds=12 * _HOUR_SECONDS, summary=_vote_line
    ),
    "retrain": StepTask(title="{arm}, round {number}: retrain", timeout_seconds=24 * _HOUR_SECONDS, summary=_fit_line),
    "evaluate": StepTask(title="{arm}: evaluate", timeout_seconds=6 * _HOUR_SECONDS),
    "report": StepTask(title="{arm}: report", timeout_seconds=_HOUR_SECONDS, from_outside=True),
}
"""How each step is run."""


def _failed_outside(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and tracking.failed_outside(error)


def run_task(step: str, name: str, work: Callable[[], T]) -> T:
    """Run one piece of work as a task of that step. What it works on is not Prefect's to copy, hash or keep."""
    how = TASKS[step]
    more: dict[str, Any] = {}
    if how.from_outside:
        more = {"retries": 3, "retry_delay_seconds": exponential_backoff(2), "retry_jitter_factor": 0.5}
        more["retry_condition_fn"] = _failed_outside
    wrapped = Task(
        partial(_or_pruned, work),
        name=step.replace("_", "-"),
        task_run_name=name,
        timeout_seconds=how.timeout_seconds,
        cache_policy=NO_CACHE,
        persist_result=False,
        **more,
    )
    result = wrapped()
    if isinstance(result, PrunedError):
        raise result
    return result


def _or_pruned(work: Callable[[], T]) -> T | PrunedError:
    """Let a training that is not worth finishing end as a task that is done: nothing failed."""
    try:
        return work()
    except PrunedError as stop:
        get_run_logger().info("stopped: %s", stop)
        return stop


def as_tasks(steps: Steps, experiment: str) -> Steps:
    """Return the same steps, each run as a Prefect task that is named by experiment, arm and round."""
    current = ""

    def entering(arm: str) -> None:
        nonlocal current
        current = arm
        steps.entering(arm)

    def around(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        how = TASKS[name]

        def run(inputs: Any) -> Any:
            title = how.title.format(arm=current, number=getattr(inputs, "number", None))
            return run_task(name, f"{experiment}: {title}", lambda: _logged(step(inputs), how.summary))

        return run

    return replace(wrap_each(steps, around), entering=entering)


def _logged(result: T, summary: Callable[[T], str] | None) -> T:
    """Tell Prefect's page what a step gave."""
    if summary is not None:
        get_run_logger().info("%s", summary(result))
    return result


@task(
    name="elsewhere",
    task_run_name="{job.name}",
    timeout_seconds=72 * _HOUR_SECONDS,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def in_its_own_process(run: Callable[[Any], Any], job: Any) -> Any:
    """Run an experiment, or a share of tuning, in a process of its own; its steps are tasks below this one."""
    logging.getLogger("prefect").propagate = False  # its pages get all it logs, the terminal has kmpl's own display
    return run(job)


def distribute(
    run: Callable[[Any], Any], jobs: Sequence[Any], n_processes: int, *, elsewhere: TaskRunner[Any] | None = None
) -> Iterator[Any]:
    """Yield what waits for each piece of work: done here one by one, in processes, or on ``elsewhere``'s machines."""
    if n_processes == 1 and elsewhere is None:
        yield from (partial(run, job) for job in jobs)
        return
    with contextlib.ExitStack() as stack:
        # A runner of Dask's can be entered once; a sweep that tunes spreads work for each ratio, and at its end.
        runner: TaskRunner[Any] = stack.enter_context(
            elsewhere.duplicate() if elsewhere else ProcessPoolTaskRunner(max_workers=n_processes)
        )
        if elsewhere is not None:
            jobs = stack.enter_context(sent_to(runner, jobs))
        futures = [runner.submit(in_its_own_process, {"run": run, "job": job}) for job in jobs]
        if elsewhere is None:
            yield from [future.result for future in futures]
        else:
            yield from [waiting(future, job) for future, job in zip(futures, jobs, strict=True)]
        for future in futures:  # who takes them all at once is here before Prefect's threads have handed them on
            future.wait()
