"""The steps of the experiment as Prefect tasks: named for people, timed out, retried where the outside may fail."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner
from prefect.tasks import exponential_backoff

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Pool
from kmpl.errors import PrunedError
from kmpl.method.experiment import Steps
from kmpl.method.results import ArmReport, Evaluation, PseudoLabels, Voted
from kmpl.models.network import Network
from kmpl.training.history import Fit
from kmpl.training.watch import Watch

T = TypeVar("T")
_HOUR = 3600.0
TIMEOUTS = {
    "load": 2 * _HOUR,  # a slow download
    "pretrain": 24 * _HOUR,
    "pretext": 24 * _HOUR,
    "pseudo-label": 12 * _HOUR,
    "retrain": 24 * _HOUR,
    "evaluate": 6 * _HOUR,
    "report": _HOUR,
}
_FROM_OUTSIDE = ("load", "report")  # download, tracking server, storage; the others are arithmetic: they fail again


def _failed_outside(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and tracking.failed_outside(error)


def run_task(step: str, name: str, work: Callable[[], T]) -> T:
    """Run one piece of work as a task of that step. What it works on is not Prefect's to copy, hash or keep."""
    more: dict[str, Any] = {}
    if step in _FROM_OUTSIDE:
        more = {"retries": 3, "retry_delay_seconds": exponential_backoff(2), "retry_jitter_factor": 0.5}
        more["retry_condition_fn"] = _failed_outside
    wrapped = Task(
        partial(_or_pruned, work),
        name=step,
        task_run_name=name,
        timeout_seconds=TIMEOUTS[step],
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


class _Tasks:
    """The steps of one experiment; each task is named by ratio, seed, arm and round."""

    def __init__(self, inner: Steps, experiment: str) -> None:
        self.inner, self.experiment, self.arm = inner, experiment, ""

    def _run(self, step: str, what: str, work: Callable[[], T]) -> T:
        return run_task(step, f"{self.experiment}: {what}", work)

    def entering(self, arm: str) -> None:
        self.arm = arm
        self.inner.entering(arm)

    def load(self, config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
        return self._run("load", "load", lambda: self.inner.load(config))

    def pretrain(self, config: ExperimentConfig, pool: Pool, watch: Watch) -> Fit:
        return self._run("pretrain", "pretrain", lambda: _said(self.inner.pretrain(config, pool, watch)))

    def pretext(self, config: ExperimentConfig, pool: Pool, watch: Watch) -> np.ndarray:
        what = f"{self.arm}: learn without labels"
        return self._run("pretext", what, lambda: self.inner.pretext(config, pool, watch))

    def pseudo_label(
        self,
        config: ExperimentConfig,
        pool: Pool,
        fit: Fit,
        before: PseudoLabels | None,
        number: int,
        known: np.ndarray | None = None,
    ) -> Voted:
        def work() -> Voted:
            voted: Voted = self.inner.pseudo_label(config, pool, fit, before, number, known)
            get_run_logger().info("%d of %d unlabelled images kept", voted.labels.assigned, (~pool.labelled).sum())
            return voted

        return self._run("pseudo-label", f"{self.arm}, round {number}: pseudo-label", work)

    def retrain(self, config: ExperimentConfig, pool: Pool, labels: PseudoLabels, watch: Watch, number: int) -> Fit:
        def work() -> Fit:
            return _said(self.inner.retrain(config, pool, labels, watch, number))

        return self._run("retrain", f"{self.arm}, round {number}: retrain", work)

    def evaluate(self, config: ExperimentConfig, network: Network) -> Evaluation:
        return self._run("evaluate", f"{self.arm}: evaluate", lambda: self.inner.evaluate(config, network))

    def finished(self, arm: ArmReport) -> None:
        self._run("report", f"{self.arm}: report", lambda: self.inner.finished(arm))


def _said(fit: Fit) -> Fit:
    """Log what a training gave, for Prefect's page."""
    last = fit.history[fit.kept_epoch - 1]
    get_run_logger().info(
        "%d images, epoch %d kept (%s), loss %.3f, validation %.2f %%, %.1f s",
        fit.images, fit.kept_epoch, fit.stop_reason, last.loss, 100 * last.validation_accuracy, fit.seconds,
    )  # fmt: skip
    return fit


def as_tasks(steps: Steps, experiment: str) -> Steps:
    """Return the same steps, each run as a Prefect task."""
    tasks = _Tasks(steps, experiment)
    names = ("entering", "load", "pretrain", "pretext", "pseudo_label", "retrain", "evaluate", "finished")
    return replace(steps, **{name: getattr(tasks, name) for name in names})


@task(
    name="elsewhere",
    task_run_name="{cell.name}",
    timeout_seconds=72 * _HOUR,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def in_its_own_process(run: Callable[[Any], Any], cell: Any) -> Any:
    """Run an experiment, or a share of tuning, in a process of its own; its steps are tasks below this one."""
    logging.getLogger("prefect").propagate = False  # its pages get all it logs, the terminal has kmpl's own display
    return run(cell)


def spread(
    run: Callable[[Any], Any], cells: Sequence[Any], jobs: int, elsewhere: TaskRunner[Any] | None = None
) -> Iterator[Any]:
    """Yield what waits for each piece of work: done here one by one, in processes, or on ``elsewhere``'s machines."""
    if jobs == 1 and elsewhere is None:
        yield from (partial(run, cell) for cell in cells)
        return
    with elsewhere or ProcessPoolTaskRunner(max_workers=jobs) as runner:
        futures = [runner.submit(in_its_own_process, {"run": run, "cell": cell}) for cell in cells]
        yield from [future.result for future in futures]
        for future in futures:  # who takes them all at once is here before Prefect's threads have handed them on
            future.wait()
