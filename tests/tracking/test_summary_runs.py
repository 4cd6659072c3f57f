"""Sweeps side by side on MLflow's pages: a summary for each ratio and arm, a view on the newest sweep, a comparison."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from mlflow import MlflowClient

from kmpl import tracking
from kmpl.cli import main
from kmpl.config.experiment import ExperimentConfig, Method
from kmpl.config.presets import merge
from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.reports.comparison import SweepReport, compare
from kmpl.tracking.client import experiment_id, search
from kmpl.tracking.compare_runs import compare_runs
from kmpl.tracking.experiment_runs import changed_settings, start
from kmpl.tracking.pages import runs_url
from kmpl.tracking.sweep_runs import sweep_run

Invent = Callable[..., list[dict[str, Any]]]
FIRST = SweepConfig(ratios=(0.4, 0.1), seeds=(0, 1, 2), name="first")
SECOND = FIRST.model_copy(
    update={"name": "second", "experiment": merge(Method(), {"retrain": {"learning_rate": 0.02}})}
)


def logged(client: MlflowClient, settings: SweepConfig, invented: Invent) -> SweepReport:
    """Log a sweep whose accuracies are invented, and return its report."""
    report = compare(settings, invented(settings))
    with sweep_run(client, settings, f"key of {settings.name}", "kmpl sweep") as run:
        run.log_report(report, files={"sweep.json": "{}"}, note="")
    return report


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory, invented: Invent) -> Path:
    folder = tmp_path_factory.mktemp("two") / "mlruns"
    client = tracking.open_store(folder)
    for settings in (FIRST, SECOND):
        logged(client, settings, invented)
    return folder


@pytest.fixture
def client(mlruns: Path) -> MlflowClient:
    return tracking.open_store(mlruns)


def test_each_ratio_and_arm_has_a_summary_over_its_seeds(client: MlflowClient, invented: Invent) -> None:
    runs = search(client, kind="summary", sweep="first")
    assert {run.info.run_name for run in runs} == {
        f"first, ratio {ratio}, {arm}: mean of 3 seeds"
        for ratio in ("0.4", "0.1")
        for arm in ("labelled-only", "pseudo-label")
    }
    (sweep,) = search(client, kind="sweep", sweep="first")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {sweep.info.run_id}
    for run in runs:
        accuracies = [
            summary["arms"][run.data.tags["arm"]]["test_accuracy"]
            for summary in invented(FIRST)
            if summary["config"]["ratio"] == float(run.data.tags["ratio"])
        ]
        numbers = run.data.metrics
        assert numbers["accuracy/test"] == pytest.approx(mean(accuracies))
        assert numbers["accuracy/test_sd"] == pytest.approx(stdev(accuracies))
        assert numbers["accuracy/test_low"] < numbers["accuracy/test"] < numbers["accuracy/test_high"]
        assert numbers["seeds"] == 3
        assert "seed" not in run.data.params


def test_a_report_that_is_logged_again_leaves_one_summary_a_row(tmp_path: Path, invented: Invent) -> None:
    client = tracking.open_store(tmp_path)
    report = compare(FIRST, invented(FIRST))
    with sweep_run(client, FIRST, "a key", "kmpl sweep") as run:
        for _ in range(2):
            run.log_report(report, files={}, note="")
    assert len(search(client, kind="summary")) == 4
    other = report.model_copy(update={"digest": "another"})
    with sweep_run(client, FIRST, "another key", "kmpl sweep") as run:
        run.log_report(other, files={}, note="")
    assert {run.data.tags["digest"] for run in search(client, kind="summary")} == {"another"}


def test_what_differs_from_the_defaults_is_a_tag_and_what_is_run_is_none(client: MlflowClient) -> None:
    tags = search(client, kind="summary", sweep="second")[0].data.tags
    assert {name: value for name, value in tags.items() if name.startswith("set.")} == {
        "set.retrain.learning_rate": "0.02"
    }
    assert changed_settings(ExperimentConfig(seed=7, threads=3, labels=50)) == {}


def test_the_page_opens_on_the_arms_of_the_newest_sweep_and_on_all_runs_if_another_run_is_newer(
    tmp_path: Path, invented: Invent
) -> None:
    client = tracking.open_store(tmp_path)
    address = runs_url(client, "http://127.0.0.1:1")
    assert address.endswith("/runs?workflowType=machine_learning&viewStateShareKey=kmpl")

    def view() -> dict[str, Any]:
        runs_url(client, "http://127.0.0.1:1")
        tags = client.get_experiment(experiment_id(client)).tags
        return dict(json.loads(tags["mlflow.sharedViewState.kmpl"]))

    assert view()["searchFilter"] == ""
    logged(client, FIRST, invented)
    shown = view()
    assert shown["searchFilter"] == "tags.sweep = 'first' and tags.arm LIKE '%'"
    assert shown["selectedColumns"][0] == shown["orderByKey"] == "metrics.`accuracy/test`"
    found = client.search_runs([experiment_id(client)], shown["searchFilter"])
    assert {run.data.tags["kind"] for run in found} == {"summary"}  # its arms are invented and have no runs
    start(client, "label photos", {"kind": "labelling"}, seconds_ago=-5)
    assert view()["searchFilter"] == ""


def test_two_sweeps_are_compared_row_by_row_with_the_settings_that_differ(client: MlflowClient) -> None:
    comparison = compare_runs(client, "first", "second")
    assert [value.row for value in comparison.metrics if value.name == "accuracy/test"] == [
        "ratio 0.4, labelled-only",
        "ratio 0.4, pseudo-label",
        "ratio 0.1, labelled-only",
        "ratio 0.1, pseudo-label",
    ]
    assert all(" ± " in value.first for value in comparison.metrics if value.name == "accuracy/test")
    (setting,) = comparison.settings
    assert (setting.name, setting.first, setting.second) == ("retrain.learning_rate", "0.003", "0.02")
    assert comparison.url.count("%22") == 2 * (8 + 1)  # quotes around eight runs and an experiment


def test_two_runs_are_compared_by_their_ids(client: MlflowClient) -> None:
    one, other = (run.info.run_id for run in search(client, kind="summary", sweep="first", ratio="0.4"))
    comparison = compare_runs(client, one, other)
    assert {value.row for value in comparison.metrics} == {""}
    assert "accuracy/test" in {value.name for value in comparison.metrics}


@pytest.mark.parametrize(
    ("second", "line"),
    [
        ("third", "third: is neither a finished sweep nor the id of a run; finished sweeps: first, second"),
        ("RUN", "is a run and first a sweep; compare two runs, or two sweeps"),
    ],
)
def test_what_cannot_be_compared_is_refused(second: str, line: str, client: MlflowClient) -> None:
    run = search(client, kind="sweep")[0].info.run_id
    with pytest.raises(UserError, match=line):
        compare_runs(client, "first", second.replace("RUN", run))


def test_the_command_prints_numbers_settings_and_address(mlruns: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "first", "second", "--mlruns", str(mlruns)]) == 0
    text = capsys.readouterr().out
    assert "ratio 0.1, pseudo-label" in text
    assert "retrain.learning_rate  0.003  0.02" in text
    assert "/#/compare-runs?runs=" in text
