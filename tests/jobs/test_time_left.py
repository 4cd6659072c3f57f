"""How long work takes now, and how much there is."""

import pytest

from kmpl.config.experiment import Arm, ExperimentConfig
from kmpl.config.presets import load
from kmpl.jobs.time_left import Pace, Plan


def test_only_the_last_epoch_counts_whatever_the_news_are_apart() -> None:
    pace, at, done = Pace(), 0.0, 0.0
    assert pace.now is None
    for seconds in [1.0] * 400 + [10.0] * 8:  # eight pieces of news an epoch; the last epoch is ten times as slow
        pace.add(at, done=done, epoch=8.0)
        at, done = at + seconds, done + 1
    pace.add(at, done=done, epoch=8.0)
    assert pace.now == pytest.approx(10)
    assert (pace.seconds, pace.done) == (480, 408)


def test_the_time_between_two_trainings_belongs_to_none() -> None:
    pace = Pace()
    for at, done in [(0.0, 0.0), (1.0, 1.0), (100.0, 0.5)]:
        pace.add(at, done=done, epoch=1.0)
    assert (pace.now, pace.seconds, pace.done) == (1, 1, 1)  # what was known stays until there is more
    pace.pause()
    pace.add(200.0, done=0.7, epoch=1.0)
    pace.add(201.0, done=1.2, epoch=1.0)
    assert (pace.now, pace.seconds, pace.done) == pytest.approx((2, 2, 1.5))


@pytest.mark.parametrize(
    ("arm", "images"),
    [
        ("labelled-only", ()),
        ("pseudo-label", (300, 300, 600)),
        ("notebook", (600,)),
        ("oracle", (600,)),
    ],
)
def test_a_plan_counts_the_images_of_each_training(arm: Arm, images: tuple[int, ...]) -> None:
    change = {
        "arms": (arm,),
        "pretrain": {"epochs": 2, "images_per_epoch": 50},
        "retrain": {"epochs": 3, "images_per_epoch": 100, "last_round": 2},
        "pseudo_labels": {"rounds": 3},
    }
    plan = Plan.of(load(change=change))
    assert plan.arms == ((100,), images)
    assert plan.whole == pytest.approx(1.04 * (100 + sum(images)))
    assert plan.done(1, "retrain, round 1", 0.5) == pytest.approx(plan.part(0) + 0.5 * sum(images[:1]))
    assert plan.done(1, "without labels, round 2", 0.5) == plan.done(1, "", 0.0) == plan.part(0)


def test_where_an_epoch_sees_all_images_there_are_as_many_as_the_settings_say() -> None:
    epochs = {"epochs": 2, "images_per_epoch": 0}
    change = {"pool": {"size": 1_000}, "ratio": 0.3, "pretrain": epochs, "retrain": epochs | {"last_round": 1}}
    assert Plan.of(load(change=change | {"pseudo_labels": {"rounds": 1}})).arms == ((600,), (), (2_000,))
    assert Plan.of(ExperimentConfig(labels=10, pretrain=load(change=change).pretrain)).arms[0] == (20,)
