"""The flow ``semi-supervised``: labelled ratios × seeds × arms, tracked, resumable, compared in one report."""

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
from flows.tasks import as_tasks, distribute, run_task
from kmpl import tracking
from kmpl.config.base import Ratios, Seeds
from kmpl.config.experiment import Arms, Method
from kmpl.config.presets import made_for
from kmpl.config.sweep import Ranges, SweepConfig
from kmpl.jobs import sweep
from kmpl.jobs.workspace import Workspace
from kmpl.method.pool_size import fitted
from kmpl.reports import sweep_page
from kmpl.reports.comparison import SweepReport

_DEFAULT = SweepConfig()


def _run_name() -> str:
    """Return the sweep's name, for the flow run's."""
    return sweep.named(_fitted(SweepConfig(**flow_run.parameters))).name


def _fitted(settings: SweepConfig) -> SweepConfig:
    """Return the settings with clusters that fit the pool, where a form or a deployment says nothing of them."""
    told = settings.experiment.model_dump(exclude_unset=True)
    return settings.model_copy(update={"experiment": fitted(settings.experiment, told, made_for("default"))})


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
    """Compare all arms at all labelled ratios on all seeds; run again, it goes on where it was.

    Args:
        ratios: Labelled ratios, each in (0, 1).
        seeds: Seeds: each draws labels, views and weights anew, the same draws for every arm.
        arms: Methods to compare.
        trials: Trials of each of the two studies (labelled-only, pseudo-label) that tune a ratio first; 0 = none.
        search: Ranges that tuning searches instead of its own: clustering.n_clusters=50:400, say.
        draws: Draws of labels that decide a study: its best trials meet on those after the first.
        jobs: Experiments that run at once, each in a process of its own with its share of the cores.
        name: Name of the sweep (letters, digits, . _ + -): one configuration. Empty: made from the settings.
        model: Registered model whose champion the sweep may move.
        experiment: What all experiments share: data, network, training, clustering, pseudo-labels.
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
    with workspace.chosen(settings) as here, workspace.present(here, flow_run.id):
        concluded = partial(_concluded, here)
        engine = sweep.Engine(wrap=as_tasks, distribute=partial(distribute, elsewhere=_elsewhere()), conclude=concluded)
        return sweep.run(settings, here, engine)


def _elsewhere() -> TaskRunner[Any] | None:
    """Return the runner of the Dask scheduler that ``KMPL_DASK`` names; None where it names none."""
    address = os.environ.get("KMPL_DASK")
    if not address:
        return None
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=address)


def _concluded(here: Workspace, conclude: Callable[[], SweepReport]) -> SweepReport:
    """Run the last step, and put the report on the flow run's page."""
    return run_task("report", "all: report", partial(_with_artifact, here, conclude))


def _with_artifact(here: Workspace, conclude: Callable[[], SweepReport]) -> SweepReport:
    report = conclude()
    _close_dead(report.name, here)
    key = "sweep-" + "".join(c if c.isalnum() else "-" for c in report.name.lower())
    create_markdown_artifact(
        sweep_page.markdown(report, link=_link(report)), key=key, description=f"Sweep {report.name}"
    )
    return report


def _close_dead(name: str, here: Workspace) -> None:
    """Mark as crashed what killed turns left running in Prefect; who tunes beside this one is alive."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name]), state=running)
        ):
            if not workspace.is_present(here, str(run.id)):
                state: State[None] = Crashed(
                    message=f"The process was killed; flow run {flow_run.id} went on with its work."
                )
                client.set_flow_run_state(run.id, state, force=True)


def _link(report: SweepReport) -> Callable[[str], str]:
    """Return what makes an address on MLflow's pages of a run's id."""
    return partial(tracking.page, report.environment.get("experiment", "1"))
