"""The steps on frozen features, on real digits by their pixels: laws, and what the classifier is."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.labelling import FROZEN
from kmpl.config.presets import merge
from kmpl.datasets import registry
from kmpl.datasets.types import UNLABELLED, FrozenFeatures, Pool
from kmpl.method import experiment, frozen_steps
from kmpl.method.frozen_structure import with_structure
from kmpl.method.pretext import pixels
from kmpl.method.results import Labelling
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.frozen_network import FrozenNetwork

CONFIG = merge(ExperimentConfig(threads=1), FROZEN | {"clustering": {"n_clusters": 20}, "backbone": "features:x"})
STEPS = Steps(evaluate=no_test_set("nothing is tested here"))
N = 300


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return registry.read("MNIST", train=True).labels[:N].numpy()


@pytest.fixture(scope="module")
def frozen() -> FrozenFeatures:
    values = pixels(registry.read("MNIST", train=True).images[:N])
    return FrozenFeatures(values=values, validation=values[:0], root=False, name="pixels")


def pool_of(frozen: FrozenFeatures, truth: np.ndarray, per_class: int, n_classes: int = 10) -> Pool:
    """Return a pool of which the first images of each class are labelled."""
    labelled = np.concatenate([np.flatnonzero(truth == c)[:per_class] for c in range(n_classes)])
    labels = np.full(len(truth), UNLABELLED)
    labels[labelled] = truth[labelled]
    order = np.concatenate([np.sort(labelled), np.setdiff1d(np.arange(len(truth)), labelled)])
    images = registry.read("MNIST", train=True).images[: len(truth)]
    return Pool(
        images=images[order],
        labels=labels[order],
        validation_images=images[:0],
        validation_labels=np.zeros(0, dtype=np.int64),
        sources=order,
        validation_sources=np.zeros(0, dtype=np.int64),
        views=("clean",) * len(order),
        classes=tuple(map(str, range(n_classes))),
        raw_shape=(1, 28, 28),
        digest="",
        frozen=frozen.rows(order, np.zeros(0, dtype=np.int64)),
    )


def labelled(pool: Pool) -> Labelling:
    return experiment.label(CONFIG, pool, STEPS)


def test_digits_by_their_pixels_are_named_better_than_by_the_classifier_alone(
    frozen: FrozenFeatures, truth: np.ndarray
) -> None:
    pool = pool_of(frozen, truth, 3)
    result = labelled(pool)
    hidden = ~pool.labelled
    right = truth[pool.sources][hidden]
    alone = frozen_steps.pretrain(StepInput(config=CONFIG, pool=pool)).network
    assert isinstance(alone, FrozenNetwork)
    before = (alone.probabilities(pool.frozen.values).argmax(axis=1)[hidden] == right).mean()  # type: ignore[union-attr]
    after = (result.vote.probabilities.argmax(axis=1)[hidden] == right).mean()
    assert after > before + 0.02


def test_law_2_a_given_label_stays_and_law_3_the_same_bits_come_again(
    frozen: FrozenFeatures, truth: np.ndarray
) -> None:
    pool = pool_of(frozen, truth, 2)
    once, again = labelled(pool), labelled(pool)
    np.testing.assert_array_equal(once.vote.probabilities, again.vote.probabilities)
    np.testing.assert_array_equal(once.vote.labels.guesses[pool.labelled], pool.labels[pool.labelled])


def test_what_was_found_before_changes_no_vote(frozen: FrozenFeatures, truth: np.ndarray) -> None:
    """Neighbours that were found for the whole folder are those that a pool finds by itself."""
    known = with_structure(frozen, 5)
    pool = pool_of(known, truth, 3)
    assert pool.frozen is not None
    alone = replace(pool, frozen=replace(pool.frozen, graph=None))
    np.testing.assert_allclose(labelled(pool).vote.probabilities, labelled(alone).vote.probabilities, atol=1e-5)


def test_the_classifier_is_scikit_learns(frozen: FrozenFeatures, truth: np.ndarray) -> None:
    weights = np.random.default_rng(0).random(N) + 0.1
    for n_classes in (2, 10):
        chosen = truth < n_classes
        weight, bias = frozen_steps.fit_head(frozen.values[chosen], truth[chosen], weights[chosen], n_classes=n_classes)
        model = LogisticRegression(C=frozen_steps.STRENGTH, max_iter=1_000)
        model.fit(frozen.values[chosen].astype(np.float64), truth[chosen], weights[chosen])
        network = FrozenNetwork(None, dimension=frozen.values.shape[1], n_classes=n_classes, root=False)
        network.set_head(weight, bias)
        np.testing.assert_allclose(
            network.probabilities(frozen.values[chosen]), model.predict_proba(frozen.values[chosen]), atol=1e-4
        )
        for kind in ("float16", "float64"):
            alike = network.probabilities(frozen.values.astype(kind))
            np.testing.assert_allclose(alike, network.probabilities(frozen.values), atol=5e-3)


def test_a_class_without_a_label_gets_no_image(frozen: FrozenFeatures, truth: np.ndarray) -> None:
    few = truth < 3
    weight, bias = frozen_steps.fit_head(frozen.values[few], truth[few], np.ones(few.sum()), n_classes=5)
    logits = frozen.values @ weight.T + bias
    assert set(logits.argmax(axis=1)) <= {0, 1, 2}
    one = truth == 1
    weight, bias = frozen_steps.fit_head(frozen.values[one], truth[one], np.ones(one.sum()), n_classes=2)
    assert set((frozen.values @ weight.T + bias).argmax(axis=1)) == {1}


def test_assigned_labels_count_as_much_as_the_settings_say(frozen: FrozenFeatures, truth: np.ndarray) -> None:
    pool = pool_of(frozen, truth, 2)
    start = frozen_steps.pretrain(StepInput(config=CONFIG, pool=pool))
    base = StepInput(config=CONFIG, pool=pool)
    voted = frozen_steps.pseudo_label(base.for_round(1, start), seed=0)
    nothing = replace(voted.labels, classes=np.where(pool.labelled, pool.labels, UNLABELLED))
    again = frozen_steps.retrain(base.for_retraining(1, nothing))
    assert again.images == pool.labelled.sum()
    for one, other in zip(start.network.head.parameters(), again.network.head.parameters(), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-4)  # law 4: no pseudo-label is labelled-only


def test_a_label_that_nobody_looked_at_weighs_less(frozen: FrozenFeatures, truth: np.ndarray) -> None:
    """A wrong one of ten pulls the classifier less far; all of weight one are as none was said."""
    pool = pool_of(frozen, truth, per_class=3)
    wrong = int(np.flatnonzero(pool.labels == 4)[0])
    labels = np.where(np.arange(N) == wrong, 9, pool.labels)

    def sure_of_the_wrong(certainty: float | None) -> float:
        weights = None if certainty is None else np.where(np.arange(N) == wrong, certainty, 1.0)
        inputs = StepInput(config=CONFIG, pool=replace(pool, labels=labels, certainty=weights))
        network = frozen_steps.pretrain(inputs).network
        assert isinstance(network, FrozenNetwork)
        return float(network.probabilities(frozen.rows(pool.sources, np.zeros(0, dtype=np.int64)).values)[wrong, 9])

    assert sure_of_the_wrong(0.1) < sure_of_the_wrong(0.5) < sure_of_the_wrong(1.0) == sure_of_the_wrong(None)
