"""Benchmark of a person's keystrokes: single images, suggested images, or whole clusters, named by a simulated person.

The person answers from the true labels. A cluster is named by the class of most of its images if these are four fifths
of it, and is called mixed otherwise; either takes one key. Then ``kmpl label`` names the rest. Shapes: N images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from kmpl.benchmarks.options import KEYSTROKE_WAYS
from kmpl.datasets.image_folder import FolderImages
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import SettingError
from kmpl.jobs import suggest_folder
from kmpl.labelling.job import prepare, run
from kmpl.method.step_interface import Steps
from kmpl.review import order, rounds
from kmpl.runtime.seeds import derive
from kmpl.store.store import Store
from kmpl.training.watch import Watch

RANDOM, SUGGESTED, CLUSTERS, BOTH = KEYSTROKE_WAYS
_PURE = 0.8  # share of one class from which on a person gives a cluster its name
_SUGGESTED_TOGETHER = 20
_WORTH_OF_A_CLUSTER = 4.0  # images that a key must be expected to name, for clusters before single images


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What so many keys were worth; shares are fractions of all images."""

    folder: str
    way: str
    seed: int
    keys: int
    """At most: with fewer, there may be nothing left to name."""
    named: float
    """Share that the keys themselves named."""
    right: float
    """Share that is named rightly once ``kmpl label`` has named the rest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A folder whose true labels are known, and what ``kmpl label`` and ``kmpl suggest`` need."""

    images: FolderImages
    """With true labels and features of a backbone."""
    overrides: Mapping[str, Any]
    steps: Steps
    store: Store


def measure(work: Work, ways: Sequence[str], seeds: Sequence[int], budgets: Sequence[int]) -> Iterator[Outcome]:
    """Yield what each way is worth after each number of keys.

    Args:
        work: the folder.
        ways: of ``KEYSTROKE_WAYS``.
        seeds: of the draws and of the clusters.
        budgets: numbers of keys, rising.

    Raises:
        SettingError: an unknown way.
    """
    unknown = [way for way in ways if way not in KEYSTROKE_WAYS]
    if unknown:
        raise SettingError("ways", unknown[0], "there is no such way", ", ".join(KEYSTROKE_WAYS))
    for way in ways:
        for seed in seeds:
            keys = 0
            names = np.full(len(work.images.files), UNLABELLED)
            answers = _ANSWERS[way](work, seed)
            for budget in budgets:
                after = list(islice(answers, budget - keys))
                names = after[-1] if after else names
                keys += len(after)
                yield _outcome(work, way, seed, keys=budget, names=names)
                if keys < budget:  # there is nothing left to name
                    break


def _outcome(work: Work, way: str, seed: int, *, keys: int, names: np.ndarray) -> Outcome:
    truth = work.images.labels
    guesses = names
    if len(set(names.tolist()) - {UNLABELLED}) > 1 and (names == UNLABELLED).any():
        labelled = prepare(replace(work.images, labels=names), {**work.overrides, "seed": seed, "check": "off"})
        guesses = run(labelled, work.steps)[1].guesses
    return Outcome(
        folder=work.images.root.resolve().name,
        way=way,
        seed=seed,
        keys=keys,
        named=float((names != UNLABELLED).mean()),
        right=float((guesses == truth).mean()),
    )


def _random(work: Work, seed: int) -> Iterator[np.ndarray]:
    """Yield the names, (N,), after each key: single images, drawn at random."""
    names = np.full(len(work.images.files), UNLABELLED)
    for i in np.random.default_rng(derive(seed, "keystrokes")).permutation(len(names)):
        names[i] = work.images.labels[i]
        yield names.copy()


def _suggested(work: Work, seed: int, names: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the names after each key: images that ``kmpl suggest`` asks for, twenty at a time."""
    names = np.full(len(work.images.files), UNLABELLED) if names is None else names.copy()
    while left := int((names == UNLABELLED).sum()):
        n_classes = len(set(names.tolist()) - {UNLABELLED})
        known = replace(work.images, labels=names, classes=work.images.classes if n_classes > 1 else ())
        overrides = {**work.overrides, "seed": seed}
        budget = min(_SUGGESTED_TOGETHER, left)
        chosen = suggest_folder.choose(known, budget, overrides=overrides, store=work.store, watch=Watch())
        for i in chosen.suggestions.images:
            names[i] = work.images.labels[i]
            yield names.copy()
        if not len(chosen.suggestions.images):  # all others are near-duplicates
            return


def _by_clusters(work: Work, seed: int, least: float = 0.0) -> Iterator[np.ndarray]:
    """Yield the names after each key: clusters, those that are worth most first; a next round takes a key, too.

    Args:
        work: the folder.
        seed: of the clusters.
        least: images that a key must be expected to name; it ends where none is.
    """
    assert work.images.frozen is not None, "the folder has features of a backbone"
    features = work.images.frozen.values
    near = order.neighbours(features)
    names = np.full(len(features), UNLABELLED)
    number = 0
    while (names == UNLABELLED).any():
        number += 1
        members = np.flatnonzero(names == UNLABELLED)
        clusters = rounds.make_clusters(features, members, n_clusters=None, seed=seed, number=number)
        worths = [len(cluster) * order.purity(near, cluster) for cluster in clusters]
        before = names.copy()
        for c in np.argsort(worths)[::-1]:
            if worths[c] < least:
                return
            classes, counts = np.unique(work.images.labels[clusters[c]], return_counts=True)
            if counts.max() >= _PURE * counts.sum():
                names[clusters[c]] = classes[counts.argmax()]
            yield names.copy()
        if (names == before).all():  # nothing but mixed clusters
            return
        yield names.copy()


def _both(work: Work, seed: int) -> Iterator[np.ndarray]:
    """Yield the names after each key: clusters while they are worth it, then suggested images."""
    names = np.full(len(work.images.files), UNLABELLED)
    for names in _by_clusters(work, seed, _WORTH_OF_A_CLUSTER):
        yield names
    yield from _suggested(work, seed, names)


_ANSWERS = {RANDOM: _random, SUGGESTED: _suggested, CLUSTERS: _by_clusters, BOTH: _both}


def keys_until(outcomes: Sequence[Outcome], share: float) -> float | None:
    """Return the number of keys from which on so many images are right, interpolated; None if they never are.

    Args:
        outcomes: of one way and seed, by rising keys.
        share: a fraction of all images.

    >>> steps = [(20, 0.5), (40, 0.9), (60, 1.0)]
    >>> rows = [Outcome(folder="", way="", seed=0, keys=keys, named=0.0, right=right) for keys, right in steps]
    >>> [round(keys_until(rows, share), 6) for share in (0.95, 0.5)]
    [50.0, 20.0]
    """
    reached = next((i for i, outcome in enumerate(outcomes) if outcome.right >= share), None)
    if reached is None:
        return None
    after = outcomes[reached]
    if not reached:
        return float(after.keys)
    before = outcomes[reached - 1]
    part = (share - before.right) / (after.right - before.right)
    return before.keys + part * (after.keys - before.keys)
