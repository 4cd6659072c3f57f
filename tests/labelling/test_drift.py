"""Drift of real digits: later ones of the same kind are alike, inverted ones and classes that were left out are not."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED, FrozenFeatures
from kmpl.errors import UserError
from kmpl.labelling import reference
from kmpl.labelling.drift import Drift, drift_of, look_at
from kmpl.labelling.job import prepare, run
from kmpl.labelling.making_reference import reference_of
from kmpl.labelling.reference import Reference, Source, distances
from kmpl.labelling.training_again import Check, LaterLabels, worth
from kmpl.method.kmeans import kmeans
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models.frozen_network import FrozenNetwork

N, PER_CLASS, CLASSES = 400, 6, 8  # eights and nines arrive later
_DIGITS = load_digits()
_TRUTH = _DIGITS.target
_LENGTHS = np.linalg.norm(_DIGITS.data, axis=1, keepdims=True)
VALUES = (_DIGITS.data / _LENGTHS).astype(np.float32)
KNOWN = np.random.default_rng(0).permutation(np.flatnonzero(_TRUTH < CLASSES))
"""In any order: as they are shipped, the later ones are by other writers."""


class Done:
    """A labelling of real digits, whose pixels stand for features, and its model."""

    def __init__(self) -> None:
        old = KNOWN[:N]
        labels = np.full(N, UNLABELLED)
        for c in range(CLASSES):
            labels[np.flatnonzero(_TRUTH[old] == c)[:PER_CLASS]] = c
        frozen = FrozenFeatures(values=VALUES[old], validation=VALUES[:0], root=False, name="pixels")
        folder = FolderImages(
            root=Path("digits"),
            files=tuple(f"{i:03}.png" for i in range(N)),
            images=torch.zeros((N, 1, 8, 8), dtype=torch.uint8),
            labels=labels,
            classes=tuple("01234567"),
            digests=tuple(f"{i:064x}" for i in range(N)),
            left_out={},
            frozen=frozen,
        )
        job = prepare(folder, {"threads": 1, "backbone": "efficientnet-lite0"})
        labelling, self.table = run(job, Steps(evaluate=no_test_set("none")))
        self.reference = reference_of(job, labelling, self.table, Source())
        network = labelling.fit.network
        assert isinstance(network, FrozenNetwork)
        self.network = network

    def drift(self, images: np.ndarray) -> Drift:
        return drift_of(self.reference, look_at(self.reference, images, self.network.probabilities(images)))


@pytest.fixture(scope="module")
def done() -> Done:
    return Done()


def test_later_digits_of_the_same_classes_are_alike(done: Done) -> None:
    later = done.drift(VALUES[KNOWN[N : N + 300]])
    assert later.reasons == []
    assert later.far_interval[0] < 0.05 < later.far_interval[1]
    assert 0.4 < later.distance.effect < 0.56
    assert later.classes == ()


def test_distances_of_the_old_images_are_from_centroids_that_did_not_know_them(done: Done) -> None:
    """Beside distances that the centroids were fitted to, images of the same kind would look far."""
    ours = kmeans(VALUES[KNOWN[:N]], len(done.reference.centroids), seed=0)
    fitted = np.linalg.norm(VALUES[KNOWN[:N]] - ours.centroids[ours.assignment], axis=1)
    later = distances(VALUES[KNOWN[N : N + 300]], ours.centroids).min(axis=1)
    kept = done.reference.distances
    assert len(kept) == N
    assert (later > np.quantile(fitted, 0.95)).mean() > 2 * (later > np.quantile(kept, 0.95)).mean()


def test_inverted_digits_lie_farther_from_all_clusters(done: Done) -> None:
    inverted = 16 - _DIGITS.data[KNOWN[N : N + 100]]
    inverted = (inverted / np.linalg.norm(inverted, axis=1, keepdims=True)).astype(np.float32)
    drift = done.drift(inverted)
    assert "they lie farther from all clusters" in drift.reasons
    assert drift.far > 90
    assert drift.far_interval[0] > 0.9


def test_classes_that_were_left_out_make_the_model_less_sure(done: Done) -> None:
    others = np.flatnonzero(_TRUTH >= CLASSES)[:100]
    drift = done.drift(VALUES[others])
    assert "the model is less sure of them" in drift.reasons
    assert drift.unlike is not None
    assert drift.unlike / drift.images > (drift.old_unlike or 0.0)


def test_images_that_a_network_learnt_from_must_be_left_farther_behind(done: Done) -> None:
    some = VALUES[np.concatenate([KNOWN[N : N + 150], np.flatnonzero(_TRUTH >= CLASSES)[:60]])]
    none = np.zeros(0, dtype=np.float32)
    learnt = replace(done.reference, judge_weight=none.reshape(0, 0), judge_bias=none, labels=none.astype(np.int64))
    drift = drift_of(learnt, look_at(learnt, some, done.network.probabilities(some)))
    assert drift.unlike is None
    assert drift.distance.p < 0.01
    assert "they lie farther from all clusters" in done.drift(some).reasons
    assert "they lie farther from all clusters" not in drift.reasons


def test_confidence_of_later_digits_is_what_it_was_of_the_old_ones(done: Done) -> None:
    later = VALUES[KNOWN[N : N + 400]]
    new = look_at(done.reference, later, done.network.probabilities(later))
    assert new.confidence.mean() == pytest.approx(done.table.confidence[~done.table.given].mean(), abs=0.05)
    assigned = new.assigned(done.reference.about.threshold)
    right = (new.guesses == _TRUTH[KNOWN[N : N + 400]])[assigned]
    assert right.mean() > (done.reference.about.expected or 1.0) - 0.05
    assert assigned.mean() > 0.9


def test_how_sure_the_model_is_of_old_images_is_said_by_classifiers_that_did_not_know_them(done: Done) -> None:
    """The model itself is surer of what it learnt from."""
    own = VALUES[KNOWN[:N]][~done.table.given]
    itself = done.reference.confidence(done.reference.score(own, done.network.probabilities(own)))
    assert len(done.reference.sure) == len(own)
    assert itself.mean() > done.reference.sure.mean() + 0.005


def test_what_is_kept_is_read_as_it_was(done: Done, tmp_path: Path) -> None:
    path = tmp_path / reference.FILE
    path.write_bytes(reference.to_bytes(done.reference))
    again = reference.read(path)
    assert again.about == done.reference.about
    assert all(
        np.array_equal(getattr(again, n), getattr(done.reference, n)) for n in Reference.__slots__ if n != "about"
    )
    assert again.seen["007.png"] == f"{7:064x}"
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="does not say what a labelling kept of its images"):
        reference.read(path)


NO_LABELS = Check(right=0, labels=0)


def test_what_decides_whether_training_again_is_worth_it(done: Done) -> None:
    alike = done.drift(VALUES[KNOWN[N : N + 300]]).reasons
    other = done.drift(VALUES[np.flatnonzero(_TRUTH >= CLASSES)[:100]]).reasons
    none = LaterLabels()
    rule = partial(worth, promised=0.9, given=40, new=True)
    assert rule(alike, NO_LABELS, none).answer == "no"
    assert rule(other, NO_LABELS, none).answer == "label first"
    of_new = LaterLabels(of_new=9)
    assert rule(other, Check(right=9, labels=9), of_new).answer == "yes"
    assert rule(alike, Check(right=9, labels=9), of_new).answer == "no"
    assert rule(alike, Check(right=10, labels=10), LaterLabels(of_new=10)).answer == "yes"  # a quarter more
    wrong = rule(alike, Check(right=3, labels=8), of_new)
    assert wrong.answer == "yes"
    assert wrong.why.startswith("the model names 3 of 8 given labels of new images right, so at most 69% of all such")
    assert worth(alike, Check(right=3, labels=8), of_new, promised=None, given=40, new=True).answer == "no"
    unknown = rule(alike, Check(right=8, labels=9), LaterLabels(of_old=9, unknown=("8",), n_unknown=1))
    assert unknown.why == "1 given label of classes that the model does not know: 8"


def test_labels_of_old_images_say_nothing_of_new_ones_that_are_unlike_them() -> None:
    rule = partial(worth, ("they lie farther from all clusters",), NO_LABELS, promised=0.9, given=40, new=True)
    assert rule(LaterLabels(of_old=9)).answer == "label first"
    four = rule(LaterLabels(of_new=4, of_old=2))
    assert four.answer == "label first"
    assert four.why.endswith("; only 4 given labels of new images came, and it takes 5")
    assert rule(LaterLabels(of_new=5)).answer == "yes"
    assert rule(LaterLabels(of_new=1, of_old=9)).why == (
        "10 given labels (1 of new images, 9 of old ones) came since, and the model learnt from 40"
    )
