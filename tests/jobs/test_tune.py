"""`kmpl tune` as a person runs it: both arms tuned, compared on fresh seeds, resumable, shared by processes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from sweeping import DIRECT, by_prefect, here, kmpl, prepare, runs, start, wait_for_line
from terminal import one_line, without_prefect
from tracking_names import undocumented, unseen

from kmpl.tuning.storage import open_studies
from kmpl.tuning.trial_claims import is_finished

TRIALS = 3
# MLflow warns about its own type hints when it is first asked to log a model.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")

COMMAND = ("tune", *DIRECT, "--config", "tiny.toml", "--name", "tiny")
TUNE = (*COMMAND, "--trials", str(TRIALS), "--ratios", "0.4", "--seeds", "0")
WHOLE = (*COMMAND, "--trials", str(TRIALS), "--ratios", "0.4,0.2", "--seeds", "0,1")
STUDIES = [f"tiny, ratio {ratio}, {arm}" for ratio in (0.4, 0.2) for arm in ("labelled-only", "pseudo-label")]


def read(path: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return numbers


def studies(folder: Path, storage: str = "mlruns/optuna.journal") -> dict[str, optuna.Study]:
    opened = open_studies(storage if "://" in storage else str(folder / storage))
    names = optuna.get_all_study_names(opened)
    return {name: optuna.load_study(study_name=name, storage=opened) for name in names}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the undisturbed report of two ratios and two seeds."""
    folder = tmp_path_factory.mktemp("whole")
    finished = kmpl(*WHOLE, "--json", "report.json", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    finished = here(*TUNE, "--json", "report.json", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return finished


def test_tune_ends_with_the_best_settings_and_what_they_are_worth(done: subprocess.CompletedProcess[str]) -> None:
    for said in (
        "Best by validation",
        "untuned ratio 0.4",
        "clustering.n_clusters",
        "Tuned − untuned on the test",
    ):
        assert said in done.stdout
    assert done.stdout.count("won out of 3 with") == 2
    assert "tiny, ratio 0.4, pseudo-label: trial 2, 3 of 3 done" in done.stdout


@pytest.mark.usefixtures("done")
def test_every_name_in_mlflow_is_documented(folder: Path) -> None:
    tracked = runs(folder)
    assert not undocumented(tracked)
    assert not [name for kind in ("sweep", "experiment", "arm", "trial") for name in unseen(tracked, kind)]


@pytest.mark.usefixtures("done")
def test_each_ratio_has_two_studies_of_equal_length(folder: Path) -> None:
    found = studies(folder)
    assert sorted(found) == sorted(STUDIES[:2])
    assert {len(one.trials) for one in found.values()} == {TRIALS}


@pytest.mark.slow
def test_winners_and_untuned_settings_are_compared_on_seeds_that_tuning_never_saw(whole: Path) -> None:
    report = read(whole / "report.json")
    assert [(g["ratio"], g["arm"], g["test"]["n"]) for g in report["tuned"]] == [
        (ratio, arm, 2) for ratio in (0.4, 0.2) for arm in ("labelled-only", "pseudo-label")
    ]
    best = {s["ratio"]: {} for s in report["studies"]}  # type: ignore[var-annotated]
    for study in report["studies"]:
        best[study["ratio"]] |= study["best"]
    for result, other in zip(report["results"], report["untuned"], strict=True):
        config, given = result["config"], other["config"]
        assert (result["seed"], result["pool_digest"]) == (other["seed"], other["pool_digest"])
        assert result["seed"] in (0, 1)
        assert config["clustering"]["n_clusters"] == best[config["ratio"]]["clustering.n_clusters"]
        assert config["pretrain"]["learning_rate"] == best[config["ratio"]]["pretrain.learning_rate"]
        assert given["clustering"]["n_clusters"] == 20
        assert given["pretrain"]["learning_rate"] == 0.003
    for gain in report["tuned"]:
        pair = [
            [r["arms"][gain["arm"]]["test_accuracy"] for r in report[which] if r["config"]["ratio"] == gain["ratio"]]
            for which in ("untuned", "results")
        ]
        assert gain["test"]["mean"] == pytest.approx(sum(pair[1]) / 2 - sum(pair[0]) / 2)


@pytest.mark.usefixtures("done")
def test_the_sweep_is_above_its_studies_and_they_above_their_trials(folder: Path) -> None:
    [sweep] = runs(folder, kind="sweep")
    parents = {run.info.run_name: run for run in runs(folder, kind="study")}
    assert sorted(parents) == sorted(STUDIES[:2])
    assert {run.data.tags["mlflow.parentRunId"] for run in parents.values()} == {sweep.info.run_id}
    trials = Counter(run.data.tags["mlflow.parentRunId"] for run in runs(folder, kind="trial"))
    assert trials == {run.info.run_id: TRIALS for run in parents.values()}
    experiments = [
        run for run in runs(folder, kind="experiment") if run.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    ]
    assert len(experiments) == 2
    assert {run.info.status for run in runs(folder)} == {"FINISHED"}
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    assert "figures/gain_of_tuning.png" in {f.path for f in client.list_artifacts(sweep.info.run_id, "figures")}


@pytest.mark.usefixtures("done")
def test_the_page_shows_the_trials(folder: Path) -> None:
    assert here("report", "tiny", "--out", "report.html", cwd=folder).returncode == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'id="best"' in page
    assert page.count("<summary>") == 2
    assert "<code>pseudo_labels.threshold</code>" in page


@pytest.mark.usefixtures("done")
def test_the_same_again_does_nothing_and_says_the_same(folder: Path) -> None:
    before = len(runs(folder))
    assert here(*TUNE, "--json", "again.json", cwd=folder).returncode == 0
    assert read(folder / "again.json") == read(folder / "report.json")
    assert len(runs(folder)) == before
    assert {len(one.trials) for one in studies(folder).values()} == {TRIALS}


@pytest.mark.usefixtures("done")
@pytest.mark.slow
def test_more_trials_go_on_under_the_same_name(folder: Path) -> None:
    more = [str(TRIALS + 1) if word == str(TRIALS) else word for word in TUNE]
    finished = kmpl(*more, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert len(studies(folder)["tiny, ratio 0.4, labelled-only"].trials) == TRIALS + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trials", "0"], "trials: Input should be greater than or equal to 1"),
        (["--search", "pseudo_labels.k=9:2"], "pseudo_labels.k=9:2: the range is reversed"),
        (["--search", "pseudo_labels.k=2:2"], "pseudo_labels.k=2:2: the range is empty"),
        (
            ["--search", "pseudo_labels.kk=2:4"],
            "ratio 0.8, tuning: unknown tuned setting 'pseudo_labels.kk'; did you mean",
        ),
        (["--search", "pseudo_labels.k=0:4"], "ratio 0.8, tuning: pseudo_labels.k=0:4: pseudo_labels.k is at least 1"),
        (["--seeds", "0,1000"], "seed 1000 is one that is tuned on; give other seeds"),
        (["--seeds", "1002"], "seed 1002 is one that is tuned on; give other seeds"),
        (["--storage", "postgresql://me:secret@127.0.0.1:9/db"], "postgresql://me:***@127.0.0.1:9/db does not answer"),
    ],
)
def test_bad_input_gets_one_line_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    prepare(tmp_path)
    assert said in refused(*COMMAND, *arguments)
    assert not (tmp_path / "mlruns" / "cache").exists()


@pytest.mark.usefixtures("done")
def test_another_space_under_the_same_name_is_refused_with_what_differs(folder: Path) -> None:
    refused = here(*TUNE, "--search", "pseudo_labels.k=1:9", cwd=folder)
    assert refused.returncode == 2
    said = "sweep 'tiny' stands for other settings: search was [], is now ['pseudo_labels.k=1:9']"
    assert said in one_line(refused.stderr)


@pytest.mark.slow
def test_another_space_of_a_study_that_was_never_finished_is_refused_too(tmp_path: Path) -> None:
    with start(*TUNE, cwd=tmp_path) as process:
        wait_for_line(process, "1 of 3 done")
        process.kill()
    refused = here(*TUNE, "--search", "pretrain.epochs=1:9", cwd=tmp_path)
    assert refused.returncode == 2
    said = "study 'tiny, ratio 0.4, labelled-only' searches another space: pretrain.epochs was 1 to 4, is now 1 to 9"
    assert said in one_line(refused.stderr)


def results(path: Path) -> dict[str, Any]:
    """Return what must not depend on who ran the studies and how often they were killed."""
    numbers = read(path)
    found = {name: numbers[name] for name in ("digest", "rows", "paired", "tuned", "results", "untuned")}
    return found | {"best": [study["best"] for study in numbers["studies"]]}


@pytest.mark.slow
def test_law_5_ten_kills_lose_no_trial_and_change_no_number(whole: Path, tmp_path: Path) -> None:
    draws, moments = random.Random(4), []
    for _ in range(10):
        wait = draws.uniform(4.0, 25.0)
        with start(*WHOLE, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=wait)
            moments.append((round(wait, 1), process.poll()))
            process.kill()
    last = kmpl(*WHOLE, "--json", "report.json", cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    print(moments)
    assert [code for _, code in moments].count(None) >= 5, f"most turns ended before their kill: {moments}"
    assert results(tmp_path / "report.json") == results(whole / "report.json")
    found = studies(tmp_path)
    assert {name: sum(is_finished(t) for t in one.trials) for name, one in found.items()} == dict.fromkeys(
        STUDIES, TRIALS
    )
    assert not [t for one in found.values() for t in one.trials if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert not [run for run in runs(tmp_path) if run.info.status == "RUNNING"]


POSTGRES = os.environ.get("KMPL_TEST_POSTGRES", "")
needs_postgres = pytest.mark.skipif(not POSTGRES, reason="KMPL_TEST_POSTGRES=postgresql://… names no database")


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["mlruns/optuna.journal", pytest.param(POSTGRES, marks=needs_postgres)])
def test_two_processes_on_the_same_studies_lose_and_double_no_trial(tmp_path: Path, storage: str) -> None:
    name = f"shared-{time.time_ns()}"  # a database may hold those of other turns
    changes = {str(TRIALS): "8", "tiny": name}
    command = [*(changes.get(word, word) for word in WHOLE), "--storage", storage]
    both = [start(*command, "--json", f"{i}.json", cwd=tmp_path) for i in (1, 2)]
    time.sleep(20)
    third = start(*command, cwd=tmp_path)
    time.sleep(10)
    third.send_signal(signal.SIGKILL)
    third.communicate()
    for process in both:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert results(tmp_path / "1.json") == results(tmp_path / "2.json")
    shared = [one for study, one in studies(tmp_path, storage).items() if study.startswith(name)]
    assert len(shared) == len(STUDIES)
    for one in shared:
        kept = [t for t in one.trials if is_finished(t)]
        assert len(kept) == 8
        assert len({str(t.params) for t in kept}) == 8
        assert len({t.user_attrs["worker"]["lock"] for t in kept}) >= 2
    assert not [run for run in runs(tmp_path) if run.info.status == "RUNNING"]
    assert len(runs(tmp_path, kind="sweep")) == 1


@pytest.mark.slow
def test_law_8_prefect_and_two_processes_tune_too(whole: Path, tmp_path: Path) -> None:
    command = by_prefect(WHOLE)
    flow = kmpl(*command, "--json", "report.json", cwd=tmp_path, env=without_prefect())
    assert flow.returncode == 0, flow.stderr
    assert results(tmp_path / "report.json") == results(whole / "report.json")
    other = ["shared" if word == "tiny" else word for word in command]
    shared = kmpl(*other, "--jobs", "2", "--json", "shared.json", cwd=tmp_path, env=without_prefect())
    assert shared.returncode == 0, shared.stderr
    report = read(tmp_path / "shared.json")
    assert [len(study["trials"]) for study in report["studies"]] == [TRIALS] * 4
