"""How much of a whole job is done: from the trainings that it is made of."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets import registry
from kmpl.jobs import progress_bars
from kmpl.jobs.whole_job import WholeJob, of_experiment, of_pretext
from kmpl.method import experiment, pretext
from kmpl.method.results import Evaluation
from kmpl.method.step_interface import Steps
from kmpl.training.history import Epoch
from kmpl.training.watch import Watch


def test_the_trainings_of_an_experiment_are_those_that_it_has(tiny: ExperimentConfig) -> None:
    config = merge(tiny, {"arms": ("labelled-only", "pseudo-label", "oracle", "notebook"), "pool": {"size": 300}})
    told: list[str] = []
    watch = Watch(epoch=lambda step, epoch, _: told.append(step) if epoch.number == 1 else None)
    nothing = Evaluation(
        accuracy=0.0,
        views={},
        class_accuracy=(),
        confusion=np.zeros((0, 0)),
        calibration_error=0.0,
        log_loss=0.0,
        seconds=0.0,
    )
    experiment.run(config, Steps(evaluate=lambda *_: nothing, watch=watch))
    expected = of_experiment(config)
    assert [step for step, _ in expected] == told
    assert dict(expected)["pretrain"] == config.pretrain.epochs * config.pretrain.images_per_epoch


def test_the_trainings_without_labels_are_those_that_there_are() -> None:
    options = LabelOptions.model_validate({"threads": 1, "pretext": {"rounds": 2, "training": {"epochs": 1}}})
    told: list[str] = []
    watch = Watch(epoch=lambda step, *_: told.append(step))
    pretext.features(options, registry.read("MNIST", True).images[:30], seed=0, watch=watch)
    assert of_pretext(options, 30) == [(step, 2_000) for step in told]
    assert dict(of_pretext(options, 60_000)) == dict.fromkeys(told, 10_000)


TRAININGS = [("pretrain", 100), ("retrain, round 1", 300), ("retrain, round 2", 200), ("pretrain", 100)]


def told(*steps: tuple[str, float], seconds: float = 10.0) -> WholeJob:
    """Return a job of which these epochs are done, each of so many seconds."""
    now = 0.0
    job = WholeJob(TRAININGS, clock=lambda: now)
    for step, done in steps:
        job.add(step, done - 1, 4)
        now += seconds
        job.add(step, done, 4)
    return job


def test_it_says_how_much_is_done_and_how_long_the_rest_takes() -> None:
    assert str(WholeJob(TRAININGS)) == ""
    assert str(told(("pretrain", 1))) == "4% of all done, 4 min left"
    assert str(told(("pretrain", 4), ("retrain, round 1", 1))) == "25% of all done, 70 s left"
    assert str(told(*[(step, 4) for step, _ in TRAININGS])) == "100% of all done, 0 s left"


def test_a_round_that_was_left_out_is_behind_and_a_step_of_the_same_name_is_the_next_one() -> None:
    job = told(("pretrain", 4), ("retrain, round 1", 4), ("pretrain", 1))
    assert job.images == 100 + 300 + 200 + 25
    job.add("pretrain", 4, 4)
    job.add("pretrain", 4, 4)  # the end of a step is told twice: by its last batch and by its last epoch
    assert job.images == job.total


def test_what_was_found_counts_at_once_and_what_was_not_expected_not_at_all() -> None:
    job = WholeJob(TRAININGS)
    job.skip("pretrain")
    job.skip("retrain, round 1")
    assert job.images == 400
    assert not job.add("without labels, round 1", 1, 3)
    assert job.images == 400
    assert not WholeJob(()).add("pretrain", 1, 3)


def epoch_of(number: int) -> Epoch:
    """Return an epoch of ten seconds."""
    return Epoch(
        number=number,
        loss=0.5,
        accuracy=0.8,
        validation_loss=0.3,
        validation_accuracy=0.9,
        learning_rate=0.001,
        seconds=10.0,
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_and_bars_have_the_whole_job(terminal: bool) -> None:
    console, now = Console(file=io.StringIO(), force_terminal=terminal, width=140), 0.0
    with progress_bars.show_training(console, TRAININGS, clock=lambda: now) as watch:
        for number in range(4):
            for batch in (0.5, 1.0):
                now += 5.0
                watch.batch("pretrain", number + batch, 4)
            watch.epoch("pretrain", epoch_of(number + 1), 4)
        watch.epoch("unexpected", epoch_of(1), 2) if not terminal else None
    text = console.file.getvalue()  # type: ignore[attr-defined]
    if terminal:
        last = text[text.rindex("in all") :]
        assert re.search(r"14%.*?0:04:00", re.sub(r"\x1b\[[\d;]*m", "", last), re.DOTALL)
    else:
        lines = text.splitlines()
        assert lines[3].endswith("; 14% of all done, 4 min left")
        assert lines[4] == "unexpected: epoch 1/2, loss 0.500, training accuracy 80.00%, validation 90.00%"
