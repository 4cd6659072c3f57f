"""The finals of a study, on a real journal: the mean over the draws decides, and nothing is trained twice."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from kmpl import tracking
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.types import Pool
from kmpl.errors import DivergedError
from kmpl.method.results import Round
from kmpl.method.step_inputs import StepInput
from kmpl.method.steps import load, pretrain
from kmpl.reports.studies import StudyRecord
from kmpl.runtime.locks import FileLocks
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch
from kmpl.tuning import StudyContext, open_studies
from kmpl.tuning.pruning import TrialProgress
from kmpl.tuning.search_space import Range
from kmpl.tuning.study import run_study
from kmpl.tuning.study_task import StudySpec

pytestmark = pytest.mark.usefixtures("without_figures")

SPACE = {"pretrain.epochs": Range(1, 12, whole=True, log=False)}
UNTUNED = {"pretrain.epochs": 3}


class Landscape:
    """Trainings whose accuracy is made up: more epochs are better on the study's own draw, worse on the others."""

    def __init__(self, trained: tuple[Pool, Fit], dies_at: int = 0, diverges: bool = False) -> None:
        self.pool, self.fit = trained
        self.dies_at, self.diverges, self.trained = dies_at, diverges, list[tuple[int, int]]()

    def train(self, values: Mapping[str, Any], progress: TrialProgress, seed: int) -> tuple[Fit, tuple[Round, ...]]:
        epochs = int(values["pretrain.epochs"])
        self.trained.append((epochs, seed))
        if self.dies_at and seed != 1_000 and sum(s != 1_000 for _, s in self.trained) == self.dies_at:
            raise KeyboardInterrupt
        if self.diverges and seed != 1_000 and epochs != 3:
            raise DivergedError("diverged")
        height = 0.5 + 0.03 * epochs if seed == 1_000 else 0.9 - 0.05 * epochs
        one = Epoch(
            number=1,
            loss=0.5,
            accuracy=0.9,
            validation_loss=0.3,
            validation_accuracy=height,
            learning_rate=0.001,
            seconds=1.0,
        )
        fit = replace(self.fit, history=(one,), kept_epoch=1)
        return progress.watch_training(Watch(), 1, epochs=1, train=lambda _: fit), ()

    def run(self, folder: Path, draws: int, trials: int = 8) -> StudyRecord:
        spec = StudySpec(
            name="one",
            ratio=0.3,
            arm="labelled-only",
            settings={"pretrain.epochs": 3},
            base_values={},
            space=SPACE,
            first_values=[UNTUNED],
            trials=trials,
            seed=7,
            train=self.train,
            pool=self.pool,
            draw_seed=1_000,
            further_seeds=tuple(range(1_001, 1_000 + draws)),
        )
        context = StudyContext(
            storage=open_studies(str(folder / "optuna.journal")),
            client=tracking.open_store(folder),
            locks=FileLocks(folder / "locks"),
            mlruns=folder,
            sweep="tiny",
        )
        return run_study(spec, context)

    def again(self) -> list[tuple[int, int]]:
        return [(epochs, seed) for epochs, seed in self.trained if seed != 1_000]


@pytest.fixture(scope="module")
def trained(tiny: ExperimentConfig) -> tuple[Pool, Fit]:
    """A real pool and a real training, which all that are made up look like."""
    pool, _ = load(tiny)
    return pool, pretrain(StepInput(config=tiny, pool=pool))


def heights(record: StudyRecord) -> list[float]:
    return sorted({t.params["pretrain.epochs"] for t in record.trials}, reverse=True)


def test_the_mean_of_all_draws_decides_and_the_untuned_settings_are_among_them(
    trained: tuple[Pool, Fit], tmp_path: Path
) -> None:
    land = Landscape(trained)
    record = land.run(tmp_path, draws=3)
    assert record.trials[0].params == UNTUNED
    assert max(record.trials, key=lambda t: t.value or 0.0).params != UNTUNED  # the study's own draw would have it so
    assert record.best == UNTUNED
    assert record.winner == record.trials[0].number
    best_three = [t for t in sorted(record.trials, key=lambda t: -(t.value or 0.0)) if t.params != UNTUNED][:3]
    assert {f.number for f in record.finals} == {record.winner, *(t.number for t in best_three)}
    assert {seed for _, seed in land.again()} == {1_001, 1_002}
    for final in record.finals:
        epochs = next(t for t in record.trials if t.number == final.number).params["pretrain.epochs"]
        assert final.values == pytest.approx([0.5 + 0.03 * epochs, *[0.9 - 0.05 * epochs] * 2], abs=1e-4)
        assert final.mean == pytest.approx(sum(final.values) / 3)
    assert list(record.finals) == sorted(record.finals, key=lambda final: -final.mean)


def test_with_one_draw_the_study_alone_decides(trained: tuple[Pool, Fit], tmp_path: Path) -> None:
    land = Landscape(trained)
    record = land.run(tmp_path, draws=1)
    assert not land.again()
    assert record.best["pretrain.epochs"] == heights(record)[0]


def test_law_5_killed_in_the_finals_only_what_is_missing_is_trained(trained: tuple[Pool, Fit], tmp_path: Path) -> None:
    whole = Landscape(trained)
    undisturbed = whole.run(tmp_path / "whole", draws=3)
    first = Landscape(trained, dies_at=4)
    with pytest.raises(KeyboardInterrupt):
        first.run(tmp_path / "killed", draws=3)
    second = Landscape(trained)
    record = second.run(tmp_path / "killed", draws=3)
    assert record.results() == undisturbed.results()
    assert sorted(first.again()[:3] + second.again()) == sorted(whole.again())
    assert not [one for one in second.trained if one[1] == 1_000]
    third = Landscape(trained)
    assert third.run(tmp_path / "killed", draws=3) == record
    assert not third.trained


def test_a_finalist_that_diverges_loses(trained: tuple[Pool, Fit], tmp_path: Path) -> None:
    record = Landscape(trained, diverges=True).run(tmp_path, draws=2)
    assert record.best == UNTUNED
    assert [final.values[1] for final in record.finals][1:] == [0.0] * (len(record.finals) - 1)


def test_more_draws_train_only_the_further_ones(trained: tuple[Pool, Fit], tmp_path: Path) -> None:
    Landscape(trained).run(tmp_path, draws=2)
    more = Landscape(trained)
    record = more.run(tmp_path, draws=3)
    assert {seed for _, seed in more.trained} == {1_002}
    assert {len(final.values) for final in record.finals} == {3}


def test_the_notes_say_who_met(trained: tuple[Pool, Fit], tmp_path: Path) -> None:
    from optuna_dashboard import get_note

    record = Landscape(trained).run(tmp_path, draws=2)
    study = optuna.load_study(study_name="one", storage=open_studies(str(tmp_path / "optuna.journal")))
    assert f"trial {record.winner}: " in get_note(study)
    assert "The mean decides." in get_note(study)
