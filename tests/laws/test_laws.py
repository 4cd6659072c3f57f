"""The laws: what must hold whatever the settings. Each is stated on real digits, small enough to be quick."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets import registry
from kmpl.datasets.folder_pool import folds
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, Pool
from kmpl.images.transforms import resize, to_float, to_uint8
from kmpl.labelling import cross_fitting
from kmpl.labelling import job as labelling
from kmpl.labelling.cross_fitting import CrossFit
from kmpl.labelling.label_table import LabelTable, to_csv
from kmpl.method import experiment, steps
from kmpl.method.results import ArmReport, Evaluation, Labelling, Report, Voted
from kmpl.method.step_inputs import EvaluateInput, RetrainInput, RoundInput
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store
from kmpl.training.history import Fit
from kmpl.training.watch import Watch


def no_test(_: EvaluateInput) -> Evaluation:
    """Stand in for the test, which no law needs."""
    return Evaluation(
        accuracy=0.0,
        views={},
        class_accuracy=(),
        confusion=np.zeros((10, 10)),
        calibration_error=0.0,
        log_loss=0.0,
        seconds=0.0,
    )


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


def test_a_round_clusters_from_where_the_last_one_was(report: Report) -> None:
    first, second = (r.pseudo_labels.clusters for r in report.arms["pseudo-label"].rounds)
    assert first is not None
    assert second is not None
    assert (first.assignment == second.assignment).mean() > 0.4  # drawn anew, 40 clusters would share 1 in 40


def test_law_4_zero_pseudo_labels_kept_is_labelled_only(tiny: ExperimentConfig) -> None:
    config = merge(tiny, {"pseudo_labels": {"threshold": 1.0, "graph_threshold": 1.0}})
    arms = run(config).arms
    assert arms["pseudo-label"].rounds == ()
    assert "no pseudo-label reached the threshold" in arms["pseudo-label"].stop_reason
    assert same_bits(arms["pseudo-label"].fit, arms["labelled-only"].fit)


def test_law_4_all_pseudo_labels_right_is_the_oracle(tiny: ExperimentConfig) -> None:
    _, truth = steps.load(tiny)

    def all_known(given: RoundInput) -> Voted:
        return replace(steps.pseudo_label(given), labels=experiment.oracle_labels(truth, given.pool))

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

    def opened(given: EvaluateInput) -> Evaluation:
        events.append("test")
        return no_test(given)

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


OWN = {"threads": 1, "seed": 4, "size": 16, "expect_accuracy": 0.8, "folds": 2, "clustering": {"n_clusters": 20}}
OWN |= {name: {"epochs": 2, "images_per_epoch": 400, "batch_size": 32} for name in ("pretrain", "retrain")}
OWN |= {"pseudo_labels": {"rounds": 2, "threshold": 0.3, "graph_threshold": 0.3}}


@pytest.fixture(scope="module")
def own() -> tuple[FolderImages, np.ndarray]:
    """What is read of a folder of 200 digits, 0 to 2, ten of each labelled; and the classes that nobody but we know."""
    data = registry.read("MNIST", train=True)
    chosen = np.flatnonzero(data.labels.numpy() < 3)[:200]
    truth = data.labels.numpy()[chosen]
    given = np.full(200, UNLABELLED)
    for c in range(3):
        places = np.flatnonzero(truth == c)[:10]
        given[places] = c
    digests = tuple(f"{i:064}" for i in range(200))
    names = tuple(f"{i:03}, a {label}.png" for i, label in enumerate(truth))
    return FolderImages(
        root=Path("digits"),
        files=names,
        images=to_uint8(resize(to_float(data.images[chosen]), 16)),
        labels=given,
        classes=("0", "1", "2"),
        digests=digests,
        left_out={},
    ), truth


closed = no_test_set("a folder of one's own has no test set")


def label(found: FolderImages, **changed: Any) -> tuple[Labelling, LabelTable]:
    return labelling.run(labelling.prepare(found, OWN | changed), Steps(evaluate=closed))


@pytest.fixture(scope="module")
def labelled(own: tuple[FolderImages, np.ndarray]) -> tuple[Labelling, LabelTable]:
    return label(own[0])


def numbers(done: LabelTable) -> list[np.ndarray]:
    threshold = np.array([done.choice.threshold])
    return [done.guesses, done.confidence, done.clusters, done.distances, done.rounds, done.validation_right, threshold]


def equal(one: tuple[Labelling, LabelTable], other: tuple[Labelling, LabelTable]) -> bool:
    return same_bits(one[0].fit, other[0].fit) and all(
        np.array_equal(a, b) for a, b in zip(numbers(one[1]), numbers(other[1]), strict=True)
    )


def test_law_1_what_names_say_of_unlabelled_files_changes_no_label(
    own: tuple[FolderImages, np.ndarray], labelled: tuple[Labelling, LabelTable]
) -> None:
    """All that a folder knows of the true classes are its files' names; permuted, they say something else."""
    found, truth = own
    said, hidden = truth.copy(), np.flatnonzero(found.labels == UNLABELLED)
    said[hidden] = np.random.default_rng(3).permutation(truth[hidden])
    assert (said != truth).sum() > 50
    permuted = replace(found, files=tuple(f"{i:03}, a {label}.png" for i, label in enumerate(said)))
    assert equal(label(permuted), labelled)


def test_law_1_labels_that_are_hidden_in_turn_are_not_learnt_from(
    own: tuple[FolderImages, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fold's networks say of labels that they were not given depends on them in nothing."""
    found = own[0]
    job = labelling.prepare(found, OWN)
    parts = folds(found.labels, 2, job.options.seed)
    monkeypatch.setattr(cross_fitting, "folds", lambda *_: parts)  # they are drawn class by class, from the labels
    first = parts == 0
    given = found.labels.copy()
    given[first] = (given[first] + 1) % 3

    def cross_fitted(given: np.ndarray) -> tuple[Fit, CrossFit]:
        fits: list[Fit] = []

        def retrain(given: RetrainInput) -> Fit:
            fits.append(steps.retrain(given))
            return fits[-1]

        wrong = replace(found, labels=given)
        fit = cross_fitting.cross_fit(
            wrong, job.config, n_folds=2, seed=job.options.seed, steps=Steps(evaluate=closed, retrain=retrain)
        )
        return fits[0], fit

    (honest, fit), (misled, wrong) = cross_fitted(found.labels), cross_fitted(given)
    n = int(first.sum())
    assert same_bits(honest, misled), "the last network of the first fold, behind the strategy's labels"
    assert np.array_equal(fit.probabilities[0], wrong.probabilities[0])
    assert np.array_equal(fit.hidden.ranks[:n], wrong.hidden.ranks[:n])
    assert fit.hidden.right[:n].sum() > wrong.hidden.right[:n].sum(), "they only judge"


def test_law_of_the_check_confidence_says_how_often_labels_are_right(
    own: tuple[FolderImages, np.ndarray], labelled: tuple[Labelling, LabelTable]
) -> None:
    """No label is written that is less certain than is said, and what is expected is the mean of what is written."""
    done = labelled[1]
    assert done.choice.target_accuracy is not None
    assert done.assigned.any()
    assert done.choice.expected_accuracy == pytest.approx(done.confidence[done.assigned].mean())
    assert done.choice.expected_accuracy >= done.choice.target_accuracy == OWN["expect_accuracy"]
    assert (done.confidence[~done.given] < 1).all(), "nothing that nobody said is certain"
    assert (done.guesses == own[1])[done.assigned].mean() >= done.choice.expected_accuracy - 0.05


def test_law_2_given_labels_of_a_folder_never_change(
    own: tuple[FolderImages, np.ndarray], labelled: tuple[Labelling, LabelTable]
) -> None:
    given, done = own[0].labels != UNLABELLED, labelled[1]
    assert np.array_equal(done.classes[given], own[0].labels[given])
    assert (done.rounds[given] == 0).all()
    assert (done.rounds[~given] != 0).all()


def test_law_3_same_folder_and_seed_give_the_same_bits(
    own: tuple[FolderImages, np.ndarray], labelled: tuple[Labelling, LabelTable]
) -> None:
    again = label(own[0])
    assert equal(again, labelled)
    assert to_csv(again[1]) == to_csv(labelled[1])
    assert not equal(label(own[0], seed=5), labelled)


def test_law_8_who_runs_the_steps_changes_no_label(
    own: tuple[FolderImages, np.ndarray], labelled: tuple[Labelling, LabelTable], tmp_path: Path
) -> None:
    """Plain steps, steps that are kept, and steps that are found again."""
    for _ in range(2):
        job = labelling.prepare(own[0], OWN)
        assert equal(labelling.run(job, cached(Steps(evaluate=closed), Store(tmp_path))), labelled)
