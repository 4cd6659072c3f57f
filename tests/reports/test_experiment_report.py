"""The table and the JSON say what the report says."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.results import Report
from kmpl.method.step_interface import Steps
from kmpl.reports import experiment_report

pytestmark = pytest.mark.usefixtures("few_test_images")


@pytest.fixture(scope="module")
def config(tiny: ExperimentConfig) -> ExperimentConfig:
    return merge(tiny, {"arms": "labelled-only,pseudo-label,oracle"})


@pytest.fixture(scope="module")
def outcome(config: ExperimentConfig) -> Report:
    return experiment.run(config, Steps(evaluate=evaluate))


def printed(outcome: Report) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(experiment_report.table(outcome))
    return capture.get()


def test_the_table_fits_eighty_columns_uncut(outcome: Report) -> None:
    text = printed(outcome)
    assert "…" not in text
    for arm in outcome.arms.values():
        row = next(line for line in text.splitlines() if line.split()[:1] == [arm.arm])
        assert f"{100 * arm.evaluation.accuracy:.2f}" in row


def test_the_oracle_is_said_to_use_all_labels(outcome: Report) -> None:
    rows = {
        line.split()[0]: line.split()[1] for line in printed(outcome).splitlines() if line.strip()[:3] in ("lab", "ora")
    }
    assert rows == {"labelled-only": "100", "oracle": "600"}


def test_json_holds_fractions_and_no_nan(config: ExperimentConfig, outcome: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    experiment_report.write_json(experiment_report.summary(config, outcome, "id"), path)
    numbers = json.loads(path.read_text(encoding="utf-8"))
    after = outcome.arms["pseudo-label"]
    assert numbers["arms"]["pseudo-label"]["test_accuracy"] == after.evaluation.accuracy
    assert numbers["arms"]["pseudo-label"]["pseudo_label_accuracy"] == after.rounds[-1].diagnostics.accuracy
    assert numbers["config"] == config.model_dump(mode="json")
    assert numbers["labelled"] + numbers["unlabelled"] == 600
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_the_seconds_of_an_arm_count_what_it_costs_alone(outcome: Report) -> None:
    before, after = outcome.arms["labelled-only"], outcome.arms["pseudo-label"]
    assert before.seconds.keys() == {"pretrain", "evaluate"}
    assert after.seconds.keys() == {"pretrain", "embed", "cluster and vote", "retrain", "evaluate"}
    assert after.seconds["pretrain"] == before.seconds["pretrain"]
    assert outcome.arms["oracle"].seconds.keys() == {"train", "evaluate"}
