"""The composition: what it refuses, and what it repeats."""

import numpy as np
import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.method import experiment, steps
from kmpl.method.results import PseudoLabels, Voted

GIVEN = np.array([True, True, False, False, False, False, False, False])
KEPT = np.array([True, True, True, True, True, True, True, False])


def test_without_a_share_every_kept_image_comes_once() -> None:
    assert steps.repeated(GIVEN, KEPT, 0.0).tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_given_labels_are_repeated_until_they_have_their_share(share: float) -> None:
    chosen = steps.repeated(GIVEN, KEPT, share)
    assert GIVEN[chosen].mean() >= share
    assert set(chosen) == set(np.flatnonzero(KEPT))
    counts = np.bincount(chosen, minlength=len(GIVEN))
    assert len(set(counts[GIVEN])) == 1
    assert (counts[KEPT & ~GIVEN] == 1).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clustering": {"n_clusters": 601}}, "clustering.n_clusters 601: the pool has 590 images"),
        (
            {"arms": "notebook", "clustering": {"n_prototypes": 91}},
            "clustering.n_prototypes 91: 90 images are labelled",
        ),
        ({"arms": "notebook", "pseudo_labels": {"k": 21}}, "pseudo_labels.k 21: there are 20 prototypes"),
        ({"network": "cn"}, "unknown network 'cn'; did you mean 'cnn'?"),
        ({"pseudo_labels": {"strategy": "consens"}}, "unknown strategy 'consens'; did you mean 'consensus'?"),
    ],
)
def test_settings_too_large_for_the_pool_are_refused_before_training(
    tiny: ExperimentConfig, change: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?").replace(".", r"\.")):
        steps.load(merge(tiny, change))


def rounds_of(votes: list[list[int]], rounds: int) -> tuple[list[int], str]:
    """Return which rounds were trained, and why there was no further one, when one after another votes so."""

    def vote(_: int, before: PseudoLabels | None, number: int) -> Voted:
        assert (before is None) == (number == 1)
        classes = np.array(votes[number - 1])
        given_by = np.where(classes == UNLABELLED, UNLABELLED, number)
        labels = PseudoLabels(classes=classes, guesses=classes, confidence=np.ones(len(classes)), rounds=given_by)
        return Voted(
            features=np.empty((len(classes), 0), np.float32),
            labels=labels,
            seconds={},
            probabilities=np.empty((len(classes), 0), np.float32),
        )

    trained: list[int] = []

    def retrain(_: Voted, number: int) -> int:
        trained.append(number)
        return number

    last, stopped = experiment.self_train(0, vote, retrain, rounds=rounds)
    assert last == (trained[-1] if trained else 0), "the last network is the one handed back"
    return trained, stopped


def test_rounds_go_on_while_labels_change() -> None:
    assert rounds_of([[0, 1], [1, 1], [1, 0]], 3) == ([1, 2, 3], "all rounds done")


def test_labels_that_no_longer_change_end_the_rounds() -> None:
    assert rounds_of([[0, 1], [1, 1], [1, 1]], 4) == ([1, 2], "round 3: no pseudo-label changed")


@pytest.mark.parametrize(("votes", "trained"), [([[0, 1], [-1, -1]], [1]), ([[-1, -1]], [])])
def test_rounds_end_where_nothing_is_assigned(votes: list[list[int]], trained: list[int]) -> None:
    stopped = f"round {len(votes)}: no pseudo-label reached the threshold"
    assert rounds_of(votes, 3) == (trained, stopped)
