"""What is searched: declared beside the settings, changed by hand, and refused where it cannot be."""

import pytest
from pydantic import ValidationError

from kmpl.config.base import flatten, tree
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import PRESETS, load, merge
from kmpl.config.sweep import SweepConfig
from kmpl.errors import UserError
from kmpl.tuning.ratio_studies import check
from kmpl.tuning.search_space import differences, space

BEFORE, AFTER = "labelled-only", "pseudo-label"
WANTED = {
    BEFORE: {"pretrain.learning_rate", "pretrain.epochs", "augmentation.strength"},
    AFTER: {
        "clustering.n_clusters",
        "pseudo_labels.k",
        "retrain.learning_rate",
        "retrain.epochs",
        "pseudo_labels.threshold",
        "pseudo_labels.rounds",
        "retrain.clustering_loss",
    },
}


@pytest.mark.parametrize("arm", WANTED)
@pytest.mark.parametrize("preset", PRESETS)
def test_each_arm_searches_its_own_settings_around_those_given(arm: str, preset: str) -> None:
    config = load(preset)
    values = flatten(config.model_dump())
    found = space(config, arm, 10_000)
    assert set(found) == WANTED[arm]
    for name, one in found.items():
        assert one.low <= values[name] <= one.high
        assert one.low < one.high


@pytest.mark.parametrize("preset", PRESETS)
def test_both_ends_of_every_range_are_settings(preset: str) -> None:
    check(load(preset))


def test_no_more_clusters_are_tried_than_a_quarter_of_the_images_but_never_fewer_than_given() -> None:
    config = ExperimentConfig()
    assert space(config, AFTER, 2_400)["clustering.n_clusters"].high == 600
    assert space(config, AFTER, 800)["clustering.n_clusters"].high == 500
    assert space(config, AFTER, 60_000)["clustering.n_clusters"].high == 1_000


def test_a_value_outside_a_fixed_range_widens_it() -> None:
    found = space(merge(ExperimentConfig(), {"pseudo_labels": {"rounds": 5, "threshold": 0.99}}), AFTER, 10_000)
    assert (found["pseudo_labels.rounds"].low, found["pseudo_labels.rounds"].high) == (1, 5)
    assert found["pseudo_labels.threshold"].high == 0.99


def test_a_range_by_hand_is_taken_as_it_is() -> None:
    found = space(ExperimentConfig(), AFTER, 10_000, ("pseudo_labels.k=2:9", "retrain.learning_rate=0.001:0.002"))
    assert (found["pseudo_labels.k"].low, found["pseudo_labels.k"].high, found["pseudo_labels.k"].whole) == (2, 9, True)
    assert str(found["retrain.learning_rate"]) == "0.001 to 0.002"
    assert found["pseudo_labels.k"].nearest(30) == 9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pseudo_labels.kk=1:5", "unknown tuned setting 'pseudo_labels.kk'; did you mean 'pseudo_labels.k'"),
        ("pretrain.batch_size=32:64", "unknown tuned setting"),
        ("pseudo_labels.k=0:5", "pseudo_labels.k is at least 1"),
        ("pretrain.learning_rate=0:0.1", "pretrain.learning_rate is above 0"),
        ("pseudo_labels.threshold=0.5:2", "at least 0, at most 1"),
        ("pseudo_labels.k=1.5:4", "pseudo_labels.k is a whole number"),
        ("clustering.n_clusters=50:100000", "clustering.n_clusters 100000: the pool has"),
        ("augmentation.strength=1:9", "strength 9 × scale 0.12: give less than 1 in all"),
    ],
)
def test_a_range_that_cannot_be_is_refused_before_any_work(given: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        check(ExperimentConfig(), (given,))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pseudo_labels.k=5:5", "the range is empty"),
        ("pseudo_labels.k=9:2", "the range is reversed"),
        ("pseudo_labels.k", "no range; give name=lowest:highest"),
        ("pseudo_labels.k=1:many", "no range"),
        ("pretrain.learning_rate=0.1:inf", "no range"),
        ("pretrain.learning_rate=nan:1", "no range"),
        ("pseudo_labels.k=1:5,pseudo_labels.k=1:6", "pseudo_labels.k comes twice"),
    ],
)
def test_an_invalid_range_is_refused_by_the_settings(given: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SweepConfig(search=given)


def test_ranges_have_no_order() -> None:
    one, other = "pseudo_labels.k=1:5", "pseudo_labels.rounds=1:2"
    assert SweepConfig(search=(one, other)) == SweepConfig(search=(other, one))


def test_differences_are_said_in_words() -> None:
    assert differences({"a": 1}, {"a": 1}) == ""
    assert differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4}) == "b was 2, is now 4, and 1 more"


def test_a_tree_of_dotted_names() -> None:
    assert merge(ExperimentConfig(), tree({"pseudo_labels.k": 7.0})).pseudo_labels.k == 7
