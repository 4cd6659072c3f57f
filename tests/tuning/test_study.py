"""Tuning on real digits, a real journal and MLflow's store: validation decides, a kill loses nothing, all is linked."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from optuna.artifacts import get_all_artifact_meta
from optuna.trial import TrialState
from optuna_dashboard import get_note
from prefect.exceptions import TerminationSignal

from kmpl import tracking
from kmpl.config.base import flatten
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.types import Pool
from kmpl.errors import UserError
from kmpl.jobs.experiment import without_test_set
from kmpl.jobs.workspace import Workspace
from kmpl.method.results import Round
from kmpl.method.step_inputs import EvaluateInput, StepInput
from kmpl.method.step_interface import Steps
from kmpl.method.steps import load, pretrain
from kmpl.models.registry import build
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.locks import FileLocks
from kmpl.tracking.client import search
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch
from kmpl.tuning import StudyContext, best_settings, open_studies, study, tune
from kmpl.tuning import trial as trial_module
from kmpl.tuning.pruning import VALUES_PER_TRAINING, TrialProgress
from kmpl.tuning.search_space import Range
from kmpl.tuning.storage import studies_file
from kmpl.tuning.study_task import StudySpec

BEFORE, AFTER = "tiny, ratio 0.3, labelled-only", "tiny, ratio 0.3, pseudo-label"
TRIALS = 7


@pytest.fixture(scope="module")
def config(tiny: ExperimentConfig) -> ExperimentConfig:
    small = {"epochs": 2, "images_per_epoch": 300}
    change = {
        "labels": None,
        "ratio": 0.3,
        "pool": {"size": 300, "image_size": 16},
        "pretrain": small,
        "retrain": small,
    }
    labelling = {"rounds": 1, "threshold": 0.0, "graph_threshold": 0.0}
    return merge(tiny, change | {"clustering": {"n_clusters": 20}, "pseudo_labels": labelling})


def run(
    config: ExperimentConfig, trials: int, folder: Path, steps: Steps | None = None, **more: Any
) -> tuple[tuple[StudyRecord, StudyRecord], ExperimentConfig]:
    context = StudyContext(
        storage=open_studies(str(folder / "optuna.journal")),
        client=tracking.open_store(folder),
        locks=FileLocks(folder / "locks"),
        mlruns=folder,
        sweep="tiny",
    )
    found = tune(
        config, trials=trials, steps=steps or without_test_set(Workspace(folder), "tiny"), context=context, **more
    )
    return found, best_settings(config, found)


def studies(folder: Path) -> dict[str, optuna.Study]:
    storage = open_studies(str(folder / "optuna.journal"))
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def done(config: ExperimentConfig, folder: Path) -> tuple[tuple[StudyRecord, StudyRecord], ExperimentConfig]:
    return run(config, TRIALS, folder)


def test_both_studies_get_the_same_number_of_trials_and_begin_with_the_settings(
    config: ExperimentConfig, done: Any
) -> None:
    values = flatten(config.model_dump())
    for record, name in zip(done[0], (BEFORE, AFTER), strict=True):
        assert record.name == name
        assert len(record.trials) == TRIALS
        assert record.trials[0].params == {setting: values[setting] for setting in record.space} == record.start


def test_the_best_by_validation_is_what_comes_back_and_only_the_space_changes(
    config: ExperimentConfig, done: Any
) -> None:
    found, best = done
    before, after = flatten(config.model_dump()), flatten(best.model_dump())
    assert {name for name in after if after[name] != before[name]} <= {n for record in found for n in record.space}
    for record in found:
        assert {name: after[name] for name in record.best} == record.best
        complete = [trial for trial in record.trials if trial.state == "complete"]
        assert max(complete, key=lambda trial: trial.value or 0.0).number == record.winner
        assert record.validation == 10


@pytest.mark.usefixtures("without_figures")
def test_a_trial_below_the_median_is_pruned_and_short_trainings_are_not_pruned_for_being_short(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    pool, _ = load(config)
    fit = pretrain(StepInput(config=config, pool=pool))
    asked: list[int] = []

    def train(values: Mapping[str, Any], progress: TrialProgress, _: int) -> tuple[Fit, tuple[Round, ...]]:
        """Rise to 0.9 in as many epochs as are asked for; every fourth trial to half of it."""
        epochs, height = int(values["pretrain.epochs"]), 0.45 if len(asked) % 4 == 3 else 0.9
        asked.append(epochs)
        rising = [
            Epoch(
                number=i,
                loss=0.5,
                accuracy=0.9,
                validation_loss=0.3,
                validation_accuracy=height * i / epochs,
                learning_rate=0.001,
                seconds=1.0,
            )
            for i in range(1, epochs + 1)
        ]

        def tell(watch: Watch) -> Fit:
            for epoch in rising:
                watch.epoch("pretrain", epoch, epochs)
            return replace(fit, history=tuple(rising), kept_epoch=epochs)

        return progress.watch_training(Watch(), 1, epochs=epochs, train=tell), ()

    space = {"pretrain.epochs": Range(2, 40, whole=True, log=True)}
    spec = StudySpec(
        name="one",
        ratio=0.3,
        arm="labelled-only",
        settings={"pretrain.epochs": 8},
        base_values={},
        space=space,
        first_values=(),
        trials=20,
        seed=7,
        train=train,
        pool=pool,
    )
    context = StudyContext(
        storage=open_studies(str(tmp_path / "optuna.journal")),
        client=tracking.open_store(tmp_path),
        locks=FileLocks(tmp_path / "locks"),
        mlruns=tmp_path,
        sweep="tiny",
    )
    record = study.run_study(spec, context)
    low = [place for place in range(20) if place % 4 == 3]
    pruned = [place for place, trial in enumerate(record.trials) if trial.state == "pruned"]
    assert pruned == [place for place in low if place > 6]  # five complete ones come before any is pruned
    assert min(asked) <= 4
    assert max(asked) >= 20
    for place in pruned:
        step = max(studies(tmp_path)["one"].trials[place].intermediate_values)
        assert VALUES_PER_TRAINING // 2 <= step < VALUES_PER_TRAINING
        assert record.trials[place].pruned == pytest.approx(asked[place] - record.trials[place].computed)


def simple(
    config: ExperimentConfig, folder: Path, where: str, dies: Callable[[int], None]
) -> tuple[StudySpec, StudyContext]:
    """Return a study of four trials that train nothing; ``dies`` is told each training's number as it begins."""
    pool, _ = load(config)
    network, counted = build(config.network, channels=1, n_classes=10, seed=0), itertools.count(1)

    def train(values: Mapping[str, Any], progress: TrialProgress, _: int) -> tuple[Fit, tuple[Round, ...]]:
        number, epochs = next(counted), int(values["pretrain.epochs"])
        rising = [
            Epoch(
                number=i,
                loss=0.5,
                accuracy=0.9,
                validation_loss=0.3,
                validation_accuracy=0.5 + 0.01 * number,
                learning_rate=0.001,
                seconds=1.0,
            )
            for i in range(1, epochs + 1)
        ]

        def tell(watch: Watch) -> Fit:
            dies(number)
            for epoch in rising:
                watch.epoch("pretrain", epoch, epochs)
            return Fit(
                network=network,
                history=tuple(rising),
                kept_epoch=epochs,
                stop_reason="all epochs done",
                images=100,
                seconds=float(epochs),
            )

        return progress.watch_training(Watch(), 1, epochs=epochs, train=tell), ()

    space = {"pretrain.epochs": Range(2, 40, whole=True, log=True)}
    spec = StudySpec(
        name="one",
        ratio=0.3,
        arm="labelled-only",
        settings={"pretrain.epochs": 8},
        base_values={},
        space=space,
        first_values=(),
        trials=4,
        seed=7,
        train=train,
        pool=pool,
        further_seeds=(8,),
    )
    context = StudyContext(
        storage=open_studies(where),
        client=tracking.open_store(folder),
        locks=FileLocks(folder / "locks"),
        mlruns=folder,
        sweep="tiny",
        studies_file=studies_file(where),
    )
    return spec, context


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("storage", "moment"),
    [
        pytest.param("{}/optuna.journal", 3, id="journal-in a trial"),
        pytest.param("sqlite:///{}/studies.db", 5, id="SQLite-in the finals"),
        pytest.param("{}/optuna.journal", 5, id="journal-in the finals", marks=pytest.mark.slow),
        pytest.param("sqlite:///{}/studies.db", 3, id="SQLite-in a trial", marks=pytest.mark.slow),
    ],
)
def test_a_study_deleted_while_it_is_tuned_is_one_line_and_begins_anew(
    moment: int, storage: str, config: ExperimentConfig, tmp_path: Path
) -> None:
    where = storage.format(tmp_path)

    def delete(number: int) -> None:
        if number == moment:
            optuna.delete_study(study_name="one", storage=open_studies(where))  # as the dashboard does, from elsewhere

    line = r"^study 'one' was deleted while it was tuned \(on Optuna's pages\?\); run the same command again: [^\n]*$"
    with pytest.raises(UserError, match=line):
        study.run_study(*simple(config, tmp_path, where, delete))
    spec, context = simple(config, tmp_path, where, lambda _: None)
    first = search(context.client, kind="study")
    assert [one.info.status for one in first] == ["KILLED"]
    record = study.run_study(spec, context)
    assert len(record.trials) == 4
    new, old = search(context.client, kind="study", study="one")
    assert (new.info.run_id, new.info.status, old.info.run_id) == (record.run, "FINISHED", first[0].info.run_id)
    assert old.data.tags["successor"] == record.run
    below = search(context.client, **{"kind": "trial", "mlflow.parentRunId": record.run})
    assert sorted(one.data.tags["trial"] for one in below) == ["0", "1", "2", "3"]  # each of them once
    assert "RUNNING" not in {one.info.status for one in search(context.client, study="one")}
    assert study.run_study(spec, context) == record


@pytest.mark.parametrize(
    ("storage", "name"),
    [("sqlite:///{}/studies.db", "another"), ("sqlite:///{}/studies.db", "one"), ("{}/optuna.journal", "one")],
)
@pytest.mark.usefixtures("without_figures")
def test_a_late_result_of_a_deleted_study_is_not_told_to_the_study_that_has_its_number_now(
    name: str, storage: str, config: ExperimentConfig, tmp_path: Path
) -> None:
    """SQLite gives the numbers of deleted studies and trials to the next ones, and Optuna tells by number."""
    where = storage.format(tmp_path)
    others: list[optuna.Study] = []

    def replace_study(number: int) -> None:
        if number == 3:
            elsewhere = open_studies(where)
            own = optuna.load_study(study_name="one", storage=elsewhere)
            optuna.delete_study(study_name="one", storage=elsewhere)
            others.append(optuna.create_study(storage=elsewhere, study_name=name, direction="maximize"))
            trials = [others[0].ask() for _ in range(4)]
            if "sqlite" in where:
                assert own._study_id == others[0]._study_id
                assert trials[2]._trial_id == 3, "that of the trial which is trained now"

    with pytest.raises(UserError, match=r"^study 'one' was deleted while it was tuned"):
        study.run_study(*simple(config, tmp_path, where, replace_study))
    assert [trial.state.name for trial in others[0].trials] == ["RUNNING"] * 4
    assert all(not trial.user_attrs and not trial.intermediate_values for trial in others[0].trials)
    assert not others[0].user_attrs


@pytest.mark.usefixtures("without_figures")
def test_a_cancelled_study_is_killed_and_goes_on_in_the_same_run(config: ExperimentConfig, tmp_path: Path) -> None:
    def cancel(number: int) -> None:
        if number == 3:
            raise TerminationSignal(signal=15)  # Prefect's

    where = str(tmp_path / "optuna.journal")
    with pytest.raises(TerminationSignal):
        study.run_study(*simple(config, tmp_path, where, cancel))
    spec, context = simple(config, tmp_path, where, lambda _: None)
    (before,) = search(context.client, kind="study")
    assert before.info.status == "KILLED"
    assert sorted(one.info.status for one in search(context.client, kind="trial")) == ["FINISHED", "FINISHED", "KILLED"]
    record = study.run_study(spec, context)
    assert (record.run, record.again) == (before.info.run_id, 1)
    assert context.client.get_run(record.run).info.status == "FINISHED"


@pytest.mark.usefixtures("without_figures")
def test_the_run_of_a_study_that_was_deleted_in_mlflow_is_made_again_above_its_trials(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    spec, context = simple(config, tmp_path, str(tmp_path / "optuna.journal"), lambda _: None)
    first = study.run_study(spec, context)
    context.client.delete_run(first.run)
    second = study.run_study(spec, context)
    assert second.run != first.run
    assert second.trials == first.trials
    assert len(search(context.client, **{"kind": "trial", "mlflow.parentRunId": second.run})) == 4


def test_pseudo_label_trials_begin_with_the_winner_of_labelled_only_from_the_store(done: Any, folder: Path) -> None:
    before, after = done[0]
    assert studies(folder)[AFTER].user_attrs["builds on"] == before.best
    trained = next(trial.computed for trial in before.trials if trial.number == before.winner)
    assert all(trial.found >= 0.5 * trained for trial in after.trials)


def test_every_trial_is_a_run_in_mlflow_and_links_both_ways(done: Any, folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    for record in done[0]:
        parent = client.get_run(record.run)
        assert (parent.info.run_name, parent.info.status) == (record.name, "FINISHED")
        assert {f.path for f in client.list_artifacts(record.run, "figures")} >= {
            "figures/history.png",
            "figures/parallel_coordinates.png",
        }
        runs = {run.info.run_id: run for run in search(client, kind="trial", study=record.name)}
        assert len(runs) == TRIALS
        for trial in record.trials:
            one = runs[trial.run]
            assert one.data.tags["trial"] == str(trial.number)
            assert one.data.tags["mlflow.parentRunId"] == record.run
            assert one.data.tags["state"] == trial.state
            assert one.info.status == "FINISHED"
            assert one.info.end_time > one.info.start_time
            assert {name: float(value) for name, value in one.data.params.items()} == pytest.approx(trial.params)
            if trial.state == "complete":
                assert one.data.metrics["validation/accuracy"] == trial.accuracy
            else:
                assert "below the median" in one.data.tags["why"]
            shown = studies(folder)[record.name].trials[trial.number]
            assert shown.user_attrs["MLflow run"] == trial.run


def test_the_dashboard_has_notes_and_figures(done: Any, folder: Path) -> None:
    for record in done[0]:
        one = studies(folder)[record.name]
        assert "log-loss, which decides where accuracy ties" in get_note(one)
        winner = next(trial for trial in record.trials if trial.number == record.winner)
        assert f"trial {record.winner}, {winner.accuracy:.2%} of validation right: " in get_note(one)
        assert winner.value is not None
        assert str(winner.value) not in get_note(one)
        complete = next(trial for trial in record.trials if trial.state == "complete")
        names = {m.filename for m in get_all_artifact_meta(one.trials[complete.number], storage=one._storage)}
        assert names == {"confusion.png", "accuracy_against_coverage.png"}
        for meta in get_all_artifact_meta(one.trials[complete.number], storage=one._storage):
            assert (folder / "studies" / meta.artifact_id).read_bytes().startswith(b"\x89PNG")


def test_the_same_again_runs_nothing_and_finds_the_same(config: ExperimentConfig, done: Any, folder: Path) -> None:
    assert run(config, TRIALS, folder) == done
    assert [len(one.trials) for one in studies(folder).values()] == [TRIALS, TRIALS]


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    "moment", [pytest.param(1, marks=pytest.mark.slow), 6, pytest.param(9, marks=pytest.mark.slow)]
)
def test_law_5_killed_anywhere_the_studies_end_as_if_nothing_had_been(
    config: ExperimentConfig, done: Any, tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends the turn where a signal would."""

    counted = itertools.count(1)
    drawn = trial_module.of_trial

    def dies(*about: Any) -> Any:
        if next(counted) == moment:
            raise Killed
        return drawn(*about)

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "of_trial", dies)
        with pytest.raises(Killed):
            run(config, TRIALS, tmp_path)
    found, best = run(config, TRIALS, tmp_path)
    assert best == done[1]
    assert [record.results() for record in found] == [record.results() for record in done[0]]
    assert sum(record.again for record in found) == 1
    states = [t.state for one in studies(tmp_path).values() for t in one.trials]
    assert TrialState.RUNNING not in states
    statuses = [one.info.status for one in search(tracking.open_store(tmp_path), kind="trial")]
    assert (statuses.count("KILLED"), statuses.count("RUNNING")) == (1, 0)


@pytest.mark.usefixtures("without_figures")
def test_law_1_the_true_labels_of_unlabelled_images_decide_nothing(
    config: ExperimentConfig, done: Any, tmp_path: Path
) -> None:
    steps = without_test_set(Workspace(tmp_path), "tiny")

    def permuted(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
        pool, truth = steps.load(config)
        hidden = np.flatnonzero(~pool.labelled)
        other = truth.copy()
        other[hidden] = np.random.default_rng(0).permutation(truth[hidden])
        assert (other != truth).any()
        return pool, other

    found, best = run(config, TRIALS, tmp_path, replace(steps, load=permuted))
    assert best == done[1]
    assert [record.results() for record in found] == [record.results() for record in done[0]]


def test_law_7_a_trial_that_asks_for_the_test_is_refused(config: ExperimentConfig, tmp_path: Path) -> None:
    steps = without_test_set(Workspace(tmp_path), "tiny")
    pool, _ = steps.load(config)
    network = steps.pretrain(StepInput(config=config, pool=pool)).network
    with pytest.raises(AssertionError, match="the test set is not opened here"):
        steps.evaluate(EvaluateInput(config=config, network=network))


@pytest.mark.usefixtures("without_figures")
def test_the_best_of_another_ratio_is_tried_second(config: ExperimentConfig, done: Any, tmp_path: Path) -> None:
    drawn = [
        record.model_copy(update={"best": record.trials[-1].params}) for record in done[0]
    ]  # not what a study begins with
    found, _ = run(merge(config, {"ratio": 0.2}), 2, tmp_path, previous=drawn)
    for record, other in zip(found, drawn, strict=True):
        assert other.best != record.start
        assert [trial.params for trial in record.trials] == [record.start, pytest.approx(other.best)]


@pytest.mark.usefixtures("without_figures")
def test_more_trials_go_on_and_a_new_winner_begins_the_second_study_anew(
    config: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Labelled-only has two trials, then pseudo-label; then labelled-only a third one, the best.
    values = iter([0.5, 0.4, 0.3, 0.9, 0.95, *[0.5] * 3])
    monkeypatch.setattr(trial_module, "objective", lambda *_: next(values))
    first, _ = run(config, 2, tmp_path)
    found, _ = run(config, 3, tmp_path)
    assert [len(record.trials) for record in found] == [3, 3]
    assert [record.winner for record in (first[0], found[0])] == [0, 2]
    assert [record.name for record in (first[1], found[1])] == [AFTER, f"{AFTER} (2)"]
    assert first[1].winner == 1
    assert first[1].best in [trial.params for trial in found[1].trials[:2]]  # what was learnt before is tried again


def test_another_space_and_other_settings_under_the_same_name_are_refused(
    config: ExperimentConfig, folder: Path
) -> None:
    assert studies(folder), "another test has made them"
    said = "searches another space: pretrain.epochs was 1 to 4, is now 1 to 9"
    with pytest.raises(UserError, match=said):
        run(config, TRIALS, folder, ranges=("pretrain.epochs=1:9",))
    with pytest.raises(UserError, match=r"stands for other settings: pool\.size was 300, is now 310"):
        run(merge(config, {"pool": {"size": 310}}), TRIALS, folder)
    assert [len(one.trials) for one in studies(folder).values()] == [TRIALS, TRIALS]


@pytest.mark.usefixtures("without_figures")
def test_trials_that_diverge_count_and_a_study_without_any_other_is_refused(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="all 2 trials diverged; give a smaller learning rate"):
        run(merge(config, {"pretrain": {"learning_rate": 1e30, "schedule": "constant"}}), 2, tmp_path)
    [one] = studies(tmp_path).values()
    assert [t.state for t in one.trials] == [TrialState.FAIL, TrialState.FAIL]
    runs = search(tracking.open_store(tmp_path), kind="trial")
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]


def test_nothing_can_be_tuned_without_validation_images(config: ExperimentConfig, tmp_path: Path) -> None:
    few = merge(config, {"ratio": 10 / 300})
    with pytest.raises(UserError, match="no label is left for validation"):
        run(few, 2, tmp_path)
