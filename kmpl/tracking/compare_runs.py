"""Two runs, or two sweeps row by row: the numbers that matter, the settings that differ, the page of MLflow."""

from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from kmpl.errors import UserError
from kmpl.tracking.client import experiment_id, search
from kmpl.tracking.pages import comparison_url
from kmpl.tracking.run_metrics import FIRST_METRICS
from kmpl.tracking.summary_runs import KIND


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedValue:
    """One number, or one setting, of two runs."""

    row: str
    """Ratio and arm; empty where two runs are compared."""
    name: str
    first: str
    """Empty where the run has none."""
    second: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs or sweeps side by side."""

    metrics: tuple[ComparedValue, ...]
    settings: tuple[ComparedValue, ...]
    """Those that differ, without repeats."""
    url: str
    """Of MLflow's own comparison."""


def compare_runs(client: MlflowClient, first: str, second: str) -> Comparison:
    """Compare two runs, or two finished sweeps.

    Args:
        client: of the store.
        first: id of a run, or name of a sweep.
        second: the same.

    Raises:
        UserError: there is no such run or sweep, one is a run and the other a sweep, or no row is in both sweeps.
    """
    ours = _rows(client, first)
    theirs = _rows(client, second)
    shared = [row for row in ours if row in theirs]
    if not shared:
        raise UserError(_nothing_shared(first, list(ours), second, list(theirs)))
    pairs = {row: (ours[row], theirs[row]) for row in shared}
    runs = [run.info.run_id for pair in pairs.values() for run in pair]
    return Comparison(
        metrics=tuple(value for row, pair in pairs.items() for value in _metrics(row, *pair)),
        settings=tuple(dict.fromkeys(value for pair in pairs.values() for value in _settings(*pair))),
        url=comparison_url(experiment_id(client), runs),
    )


def _rows(client: MlflowClient, text: str) -> dict[str, Run]:
    """Return the summaries of a sweep by ratio and arm, or a single run under an empty name."""
    summaries = [run for run in search(client, kind=KIND) if run.data.tags["sweep"] == text]
    if summaries:
        rows = {f"ratio {run.data.tags['ratio']}, {run.data.tags['arm']}": run for run in reversed(summaries)}
        return dict(sorted(rows.items(), key=lambda row: -float(row[1].data.tags["ratio"])))
    try:
        return {"": client.get_run(text)}
    except MlflowException:
        names = sorted({run.data.tags["sweep"] for run in search(client, kind=KIND)})
        known = f"finished sweeps: {', '.join(names)}" if names else "no sweep is finished"
        raise UserError(f"{text}: is neither a finished sweep nor the id of a run; {known}") from None


def _nothing_shared(first: str, ours: list[str], second: str, theirs: list[str]) -> str:
    if "" in ours or "" in theirs:
        run, sweep = (first, second) if "" in ours else (second, first)
        return f"{run} is a run and {sweep} a sweep; compare two runs, or two sweeps"
    return f"{first} has {'; '.join(ours)}, and {second} has {'; '.join(theirs)}: nothing to compare"


def _metrics(row: str, first: Run, second: Run) -> list[ComparedValue]:
    """Return the first metrics that one of two runs has; of runs of other kinds, the metrics that both have."""
    have = (first.data.metrics, second.data.metrics)
    names = [name for name in FIRST_METRICS if name in have[0] or name in have[1]]
    names = names or sorted(have[0].keys() & have[1].keys())
    texts = {name: [_with_sd(name, metrics) for metrics in have] for name in names}
    return [ComparedValue(row=row, name=name, first=a, second=b) for name, (a, b) in texts.items()]


def _with_sd(name: str, metrics: dict[str, float]) -> str:
    if name not in metrics:
        return ""
    sd = f" ± {metrics[f'{name}_sd']:.4f}" if f"{name}_sd" in metrics else ""
    return f"{metrics[name]:,.4f}{sd}"


def _settings(first: Run, second: Run) -> list[ComparedValue]:
    names = sorted(first.data.params.keys() | second.data.params.keys())
    pairs = {name: [run.data.params.get(name, "") for run in (first, second)] for name in names}
    return [ComparedValue(row="", name=name, first=a, second=b) for name, (a, b) in pairs.items() if a != b]
