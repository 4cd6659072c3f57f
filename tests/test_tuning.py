"""Tuning on real digits and a real journal: validation decides, nothing is lost by a kill, the test is out of reach."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from kmpl import tuning
from kmpl.cells import Place, untested
from kmpl.config import ExperimentConfig, flatten
from kmpl.errors import UserError
from kmpl.presets import merge


@pytest.fixture(scope="module")
def config(tiny: ExperimentConfig) -> ExperimentConfig:
    small = {"epochs": 1, "images_per_epoch": 400}
    change = {"labels": None, "ratio": 0.3, "pool": {"size": 300}, "pretrain": small, "retrain": small}
    return merge(tiny, change | {"clustering": {"n_clusters": 20}, "pseudo_labels": {"rounds": 1, "threshold": 0.0}})


def tune(config: ExperimentConfig, trials: int, folder: Path) -> ExperimentConfig:
    storage = tuning.open_journal(folder / "optuna.journal")
    return tuning.tune(config, trials, storage, "tiny", untested(Place(folder), "tiny"))


def studies(folder: Path) -> dict[str, optuna.Study]:
    storage = tuning.open_journal(folder / "optuna.journal")
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def tried(study: optuna.Study) -> list[tuple[dict[str, float], float | None]]:
    return [(t.params, t.value) for t in study.trials if t.state == TrialState.COMPLETE]


@pytest.fixture(scope="module")
def tuned(config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExperimentConfig]:
    folder = tmp_path_factory.mktemp("tuned")
    return folder, tune(config, 4, folder)


def test_both_studies_get_the_same_number_of_trials_and_start_from_the_settings(
    config: ExperimentConfig, tuned: tuple[Path, ExperimentConfig]
) -> None:
    found = studies(tuned[0])
    assert set(found) == {"tiny, labelled-only", "tiny, pseudo-label"}
    values = flatten(config.model_dump())
    for study in found.values():
        assert len(tried(study)) == 4
        if study.study_name == "tiny, labelled-only":
            assert tried(study)[0][0] == {name: values[name] for name in tuning.SPACES["labelled-only"]}


def test_the_best_by_validation_is_what_comes_back_and_only_the_space_changes(
    config: ExperimentConfig, tuned: tuple[Path, ExperimentConfig]
) -> None:
    found, best = studies(tuned[0]), flatten(tuned[1].model_dump())
    expected = found["tiny, labelled-only"].best_params | found["tiny, pseudo-label"].best_params
    assert {name: best[name] for name in expected} == expected
    before = flatten(config.model_dump())
    assert {name for name in best if best[name] != before[name]} <= set(expected)


def test_trials_count_in_all(config: ExperimentConfig, tuned: tuple[Path, ExperimentConfig]) -> None:
    assert tune(config, 4, tuned[0]) == tuned[1]
    assert [len(study.trials) for study in studies(tuned[0]).values()] == [4, 4]


@pytest.mark.parametrize("moment", [1, 3])
def test_law_5_a_killed_trial_is_run_again_and_the_study_ends_as_if_nothing_had_been(
    config: ExperimentConfig,
    tuned: tuple[Path, ExperimentConfig],
    tmp_path: Path,
    moment: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        """Ends the turn where a signal would."""

    counted = []
    value = tuning._value

    def dies(fit: object) -> float:
        counted.append(fit)
        if len(counted) == moment:
            raise Killed
        return value(fit)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "_value", dies)
        with pytest.raises(Killed):
            tune(config, 4, tmp_path)
    assert tune(config, 4, tmp_path) == tuned[1]
    again, whole = studies(tmp_path), studies(tuned[0])
    for name in whole:
        assert tried(again[name]) == tried(whole[name])
        assert not [t for t in again[name].trials if t.state == TrialState.RUNNING]


def test_trials_that_diverge_count_and_a_study_without_any_other_is_refused(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="all 2 trials diverged; give a smaller learning rate"):
        tune(merge(config, {"pretrain": {"learning_rate": 1e30, "schedule": "constant"}}), 2, tmp_path)
    [study] = studies(tmp_path).values()
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.FAIL]


def test_a_journal_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(UserError, match="cannot open the studies in"):
        tuning.open_journal(tmp_path / "file" / "optuna.journal")
