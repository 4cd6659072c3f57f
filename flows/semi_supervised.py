"""The flow ``semi-supervised``: a sweep over labelled ratios, seeds and arms, and its report."""

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Crashed
from prefect.task_runners import TaskRunner
from pydantic import Field

from flows import workspace
from flows.tasks import as_tasks, run_task, spread
from kmpl import tracking
from kmpl.config.base import Ratios, Seeds
from kmpl.config.experiment import Arms, Method
from kmpl.config.presets import made_for
from kmpl.config.sweep import Ranges, SweepConfig
from kmpl.jobs import sweep
from kmpl.jobs.workspace import Place
from kmpl.method.pool_size import fitted
from kmpl.reports import sweep_page
from kmpl.reports.comparison import SweepReport

_DEFAULT = SweepConfig()


def _run_name() -> str:
    """Return the name of the flow run: the sweep's."""
    return sweep.with_name(_fitted(SweepConfig(**flow_run.parameters))).name


def _fitted(settings: SweepConfig) -> SweepConfig:
    """Return the settings; a number of clusters that no parameter sets is chosen to fit the pool."""
    overrides = settings.experiment.model_dump(exclude_unset=True)
    return settings.model_copy(update={"experiment": fitted(settings.experiment, overrides, made_for("default"))})


@flow(name="semi-supervised", flow_run_name=_run_name, timeout_seconds=14 * 24 * 3600, persist_result=False)
def semi_supervised(
    ratios: Ratios = _DEFAULT.ratios,
    seeds: Seeds = _DEFAULT.seeds,
    arms: Arms = _DEFAULT.arms,
    trials: Annotated[int, Field(ge=0, le=10_000)] = _DEFAULT.trials,
    search: Ranges = _DEFAULT.search,
    draws: Annotated[int, Field(ge=1, le=100)] = _DEFAULT.draws,
    jobs: Annotated[int, Field(ge=1, le=256)] = _DEFAULT.jobs,
    name: str = _DEFAULT.name,
    model: str = _DEFAULT.model,
    experiment: Method = _DEFAULT.experiment,
) -> SweepReport:
    """Compare all arms at all labelled ratios on all seeds. A second run with the same parameters resumes the sweep.

    Args:
        ratios: Labelled ratios (shares of the pool that are labelled); each in (0, 1).
        seeds: Seeds. Each seed draws labels, views and weights anew; all arms share its draws.
        arms: Arms (methods) to compare.
        trials: Number of trials of each of the two studies per ratio (labelled-only, pseudo-label); 0 = no tuning.
        search: Search ranges that replace the default ones: clustering.n_clusters=50:400, say.
        draws: Number of draws of labels that decide a study: trials use the first draw, the final comparison the
            others.
        jobs: Number of experiments that run at once. Each has a process of its own and its share of the cores.
        name: Name of the sweep (letters, digits, . _ + -). It belongs to one configuration. Empty: made from the
            settings.
        model: Registered model whose champion the sweep may replace.
        experiment: Settings of all experiments: data, network, training, clustering, pseudo-labels.
    """
    settings = SweepConfig(
        ratios=ratios,
        seeds=seeds,
        arms=arms,
        trials=trials,
        search=search,
        draws=draws,
        jobs=jobs,
        name=name,
        model=model,
        experiment=experiment,
    )
    settings = _fitted(settings)
    with workspace.current_workspace(settings) as here, workspace.flow_lock(here, flow_run.id):
        engine = sweep.Engine(
            wrap=as_tasks,
            distribute=partial(spread, elsewhere=_dask_runner()),
            conclude=partial(_conclude_as_task, here),
        )
        return sweep.run(settings, here, engine)


def _dask_runner() -> TaskRunner[Any] | None:
    """Return the runner of the Dask scheduler that ``KMPL_DASK`` names; None if it is not set."""
    address = os.environ.get("KMPL_DASK")
    if not address:
        return None
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def _conclude_as_task(here: Place, conclude: Callable[[], SweepReport]) -> SweepReport:
    """Run the last step as a task, and show the report on the flow run's page."""
    return run_task("report", "all: report", partial(_conclude_with_artifact, here, conclude))


def _conclude_with_artifact(here: Place, conclude: Callable[[], SweepReport]) -> SweepReport:
    report = conclude()
    _mark_crashed(report.name, here)
    url_of_run = partial(tracking.run_url, report.environment.get("experiment", "1"))
    key = "sweep-" + "".join(c if c.isalnum() else "-" for c in report.name.lower())
    create_markdown_artifact(sweep_page.markdown(report, link=url_of_run), key=key, description=f"Sweep {report.name}")
    return report


def _mark_crashed(name: str, here: Place) -> None:
    """Mark the sweep's flow runs as crashed whose processes were killed; Prefect still shows them as running.

    Processes that tune beside this one are alive: they hold their locks.
    """
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name]), state=running)
        ):
            if not workspace.is_alive(here, str(run.id)):
                state: State[None] = Crashed(
                    message=f"The process was killed; flow run {flow_run.id} resumed its work."
                )
                client.set_flow_run_state(run.id, state, force=True)
