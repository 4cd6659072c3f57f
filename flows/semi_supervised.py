"""The flow ``semi-supervised``: a sweep over labelled ratios, seeds and arms, and its report."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, TypeVar

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Crashed
from pydantic import Field

from flows import workspace
from flows.parameters import checked
from flows.remote import dask_runner
from flows.tasks import as_tasks, distribute, run_task
from kmpl import tracking
from kmpl.config.base import Ratios, Seeds
from kmpl.config.experiment import Arms, Method
from kmpl.config.presets import layered, preset_pool_size
from kmpl.config.sweep import Ranges, SweepConfig
from kmpl.jobs import sweep
from kmpl.jobs.workspace import Workspace
from kmpl.method.pool_size import fitted
from kmpl.reports import sweep_page
from kmpl.reports.comparison import SweepReport
from kmpl.runtime.addresses import addresses_of_environment

_DEFAULT = SweepConfig()
Preset = Literal["default", "quick", "notebook"]
_PRESET_HELP = "What the experiment's settings are laid over: what is given of them wins, the rest is the preset's."
F = TypeVar("F", bound=Callable[..., SweepReport])


def _run_name() -> str:
    """Return the sweep's name, for the flow run's."""
    parameters = dict(flow_run.parameters)
    preset = parameters.pop("preset", "default")
    return sweep.with_name(_over_preset(SweepConfig(**parameters), preset)).name


def _over_preset(settings: SweepConfig, preset: str) -> SweepConfig:
    """Return the settings over a preset: what a form or a deployment says of the experiment, and nothing else, wins.

    Where nobody says how many clusters there are, they fit the pool.
    """
    overrides = settings.experiment.model_dump(exclude_unset=True)
    method = layered(Method(), preset, None, overrides)
    return settings.model_copy(update={"experiment": fitted(method, overrides, preset_pool_size(preset))})


def _with_help_of_fields(function: F) -> F:
    """Give each parameter the help of the setting that it is; Prefect's form reads it from the docstring."""
    lines = [
        f"    {name}: {str(field.description).replace(', separated by commas', '')}"
        for name, field in SweepConfig.model_fields.items()
    ]
    function.__doc__ = "\n".join([f"{function.__doc__}\n\nArgs:", *lines, f"    preset: {_PRESET_HELP}"])
    return function


@checked
@flow(name="semi-supervised", flow_run_name=_run_name, timeout_seconds=14 * 24 * 3600, persist_result=False)
@_with_help_of_fields
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
    preset: Preset = "default",
) -> SweepReport:
    """Compare all arms at all labelled ratios on all seeds. A second run with the same parameters resumes the sweep."""
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
    settings = _over_preset(settings, preset)
    with workspace.current_workspace(settings) as here, workspace.flow_lock(here, flow_run.id):
        engine = sweep.Engine(
            wrap=as_tasks,
            distribute=partial(distribute, elsewhere=dask_runner(addresses_of_environment().scheduler)),
            conclude=partial(_conclude_as_task, here),
        )
        return sweep.run(settings, here, engine)


def _conclude_as_task(here: Workspace, conclude: Callable[[], SweepReport]) -> SweepReport:
    """Run the last step as a task, and show the report on the flow run's page."""
    return run_task("report", "all: report", partial(_conclude_with_artifact, here, conclude))


def _conclude_with_artifact(here: Workspace, conclude: Callable[[], SweepReport]) -> SweepReport:
    report = conclude()
    _mark_crashed(report.name, here)
    url_of_run = partial(tracking.run_url, report.environment.get("experiment", "1"))
    key = "sweep-" + "".join(c if c.isalnum() else "-" for c in report.name.lower())
    create_markdown_artifact(sweep_page.markdown(report, link=url_of_run), key=key, description=f"Sweep {report.name}")
    return report


def _mark_crashed(name: str, here: Workspace) -> None:
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
