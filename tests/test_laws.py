"""The laws: what must hold whatever the settings. Each is stated on real digits, small enough to be quick."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kmpl import experiment, steps
from kmpl.config import ExperimentConfig
from kmpl.experiment import Steps
from kmpl.networks import Network
from kmpl.presets import merge
from kmpl.results import ArmReport, Evaluation, Fit, Pool, PseudoLabels, Report
from kmpl.steps import Watch


def no_test(config: ExperimentConfig, network: Network) -> Evaluation:  # noqa: ARG001
    """Stand in for the test, which no law needs."""
    return Evaluation(0.0, {}, (), np.zeros((10, 10)), 0.0, 0.0, 0.0)


def run(config: ExperimentConfig, **handed: Any) -> Report:
    return experiment.run(config, Steps(evaluate=no_test, **handed))


def weights(fit: Fit) -> dict[str, torch.Tensor]:
    return fit.network.state_dict()


def same_bits(a: Fit, b: Fit) -> bool:
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def chosen(arm: ArmReport) -> list[np.ndarray]:
    """All that was decided about pseudo-labels, round by round."""
    return [
        x for r in arm.rounds for x in (r.pseudo_labels.classes, r.pseudo_labels.confidence, r.pseudo_labels.rounds)
    ]


@pytest.fixture(scope="module")
def report(tiny: ExperimentConfig) -> Report:
    return run(tiny)


ALL_STRATEGIES = ("pseudo-label", "notebook", "self-training", "label-spreading")


def test_law_1_true_labels_of_unlabelled_images_change_nothing_but_diagnostics(tiny: ExperimentConfig) -> None:
    config = merge(tiny, {"arms": ALL_STRATEGIES, "pseudo_labels": {"rounds": 1}})

    def shuffled(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
        pool, truth = steps.load(config)
        hidden = np.flatnonzero(~pool.labelled)
        truth = truth.copy()
        truth[hidden] = np.random.default_rng(3).permutation(truth[hidden])
        return pool, truth

    honest, permuted = run(config), run(config, load=shuffled)
    for name in config.arms:
        one, other = honest.arms[name], permuted.arms[name]
        assert one.rounds
        assert same_bits(one.fit, other.fit)
        assert all(np.array_equal(a, b) for a, b in zip(chosen(one), chosen(other), strict=True))
        assert [e.loss for e in one.fit.history] == [e.loss for e in other.fit.history]
        assert one.fit.validation_accuracy == other.fit.validation_accuracy
        assert one.rounds[0].diagnostics.accuracy != other.rounds[0].diagnostics.accuracy


def test_law_2_given_labels_never_change(report: Report) -> None:
    pool, given = report.pool, report.pool.labelled
    for turn in report.arms["pseudo-label"].rounds:
        labels = turn.pseudo_labels
        assert np.array_equal(labels.classes[given], pool.labels[given])
        assert (labels.confidence[given] == 1).all()
        assert (labels.rounds[given] == 0).all()
        assert (labels.rounds[~given] != 0).all()


def test_law_3_same_config_and_seed_give_the_same_bits(tiny: ExperimentConfig, report: Report) -> None:
    again, other = run(tiny), run(merge(tiny, {"seed": 1}))
    for name in tiny.arms:
        assert same_bits(report.arms[name].fit, again.arms[name].fit)
        assert not same_bits(report.arms[name].fit, other.arms[name].fit)
        assert all(
            np.array_equal(a, b) for a, b in zip(chosen(report.arms[name]), chosen(again.arms[name]), strict=True)
        )
    assert report.pool.digest == again.pool.digest != other.pool.digest


def test_law_4_zero_pseudo_labels_kept_is_labelled_only(tiny: ExperimentConfig) -> None:
    config = merge(tiny, {"pseudo_labels": {"threshold": 1.0, "graph_threshold": 1.0}})
    arms = run(config).arms
    assert arms["pseudo-label"].rounds == ()
    assert "no pseudo-label reached the threshold" in arms["pseudo-label"].stop_reason
    assert same_bits(arms["pseudo-label"].fit, arms["labelled-only"].fit)


def test_law_4_all_pseudo_labels_right_is_the_oracle(tiny: ExperimentConfig) -> None:
    _, truth = steps.load(tiny)

    def all_known(config: ExperimentConfig, pool: Pool, fit: Fit, before: PseudoLabels | None, number: int) -> Any:
        voted = steps.pseudo_label(config, pool, fit, before, number)
        return replace(voted, labels=experiment.all_right(truth, pool))

    config = merge(tiny, {"arms": ("pseudo-label", "oracle")})
    arms = run(config, pseudo_label=all_known).arms
    assert len(arms["pseudo-label"].rounds) == 1  # the second round would have changed nothing
    assert same_bits(arms["pseudo-label"].fit, arms["oracle"].fit)


def test_law_6_views_of_one_image_stay_on_one_side(tiny: ExperimentConfig) -> None:
    config = merge(tiny, {"protocol": "notebook", "pool": {"size": 500, "views_per_image": 3}})
    pool, _ = steps.load(config)
    given, held = set(pool.sources[pool.labelled]), set(pool.validation_sources)
    hidden = set(pool.sources[~pool.labelled])
    assert given
    assert held
    assert hidden
    assert given.isdisjoint(held)
    assert given.isdisjoint(hidden)
    assert held.isdisjoint(hidden)
    assert len(pool.sources) + len(pool.validation_sources) == 3 * 500


def test_law_7_the_test_set_is_opened_once_per_arm_after_its_choices(tiny: ExperimentConfig) -> None:
    events: list[str] = []

    def opened(config: ExperimentConfig, network: Network) -> Evaluation:
        events.append("test")
        return no_test(config, network)

    watch = Watch(epoch=lambda step, *_: events.append(step))
    config = merge(tiny, {"arms": ("pseudo-label",)})
    experiment.run(config, Steps(evaluate=opened, watch=watch))
    assert events.count("test") == 1
    assert events[-1] == "test"
    assert "retrain, round 2" in events


def test_every_arm_starts_from_the_same_network_and_pool(tiny: ExperimentConfig) -> None:
    arms = run(
        merge(tiny, {"arms": ("labelled-only", "pseudo-label", "self-training"), "pseudo_labels": {"rounds": 1}})
    ).arms
    assert arms["pseudo-label"].pretrained is arms["self-training"].pretrained is arms["labelled-only"].fit


def test_validation_is_never_trained_on(tiny: ExperimentConfig, report: Report) -> None:
    pool = report.pool
    assert not set(pool.sources) & set(pool.validation_sources)
    assert (
        report.arms["labelled-only"].fit.images == tiny.labels - len(pool.validation_labels) if tiny.labels else False
    )
