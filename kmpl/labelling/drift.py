"""Drift: how unlike the old images of a folder its new ones are, and what the model makes of them.

Three looks, each by itself a test at one in a hundred: how far an image lies from the nearest centroid, how sure the
model is of it, and which share is unlike anything labelled. None needs a label. In large folders every difference is
significant; the first two must also be large enough to matter. Shapes: n new images, N old ones, C classes, D feature
dimension.

Sources: Rabanser et al. 2019, "Failing loudly", https://arxiv.org/abs/1810.11953 (tests on features and on what a model
says); Guillory et al. 2021, "Predicting with confidence on unseen distributions", https://arxiv.org/abs/2107.03315;
Vargha & Delaney 2000, "A critique and improvement of the CL common language effect size statistics", for the effect.
Measured: docs/log/attempts-labelling.md.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binomtest, fisher_exact, mannwhitneyu

from kmpl.datasets.types import UNLABELLED
from kmpl.labelling.class_shares import mismatched_classes
from kmpl.labelling.doubts import unlike
from kmpl.labelling.reference import Reference, distances

SIGNIFICANT = 0.01
LEAST_EFFECT = 0.56
"""Probability that a new image is farther, or the model less sure of it, than an old one: below, it does not matter;
0.5 = alike."""
LEAST_EFFECTS_OF_LEARNT = (0.6, 0.71)
"""The same for distance and unsureness where the network has learnt from the old images: their features lie closer, and
it is much surer of them."""
FAR = 0.95
"""Quantile of the old images' distances; images beyond it are far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewImages:
    """What the model makes of new images, in their order."""

    guesses: np.ndarray = field(repr=False)
    """(n,) int64 most likely class."""
    confidence: np.ndarray = field(repr=False)
    """(n,) of the guess, as that of the old images was."""
    clusters: np.ndarray = field(repr=False)
    """(n,) int64 nearest cluster; −1 where the labels name no clusters."""
    distances: np.ndarray = field(repr=False)
    """(n,) from the nearest centroid."""
    unlike: np.ndarray | None = field(repr=False)
    """(n,) bool: unlike anything labelled; None where that was not looked for."""
    old_unlike: np.ndarray | None = field(repr=False, default=None)
    """The same of old images without a given label."""

    def assigned(self, threshold: float | None) -> np.ndarray:
        """Return which are confident enough for a label, (n,) bool."""
        return np.zeros(len(self.guesses), dtype=bool) if threshold is None else self.confidence >= threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test whether a number is larger among the new images than among the old ones."""

    p: float
    """Probability of such a difference by chance."""
    effect: float
    """Probability that it is larger for a new image than for an old one; 0.5 = alike."""
    least: float = LEAST_EFFECT
    """The effect from which on it matters."""

    @property
    def matters(self) -> bool:
        """Whether the difference is no chance, and large enough."""
        return self.p < SIGNIFICANT and self.effect >= self.least


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How unlike the old images n new ones are; shares are fractions."""

    images: int
    """n."""
    far: int
    """New images farther from the nearest centroid than 95 % of the old ones."""
    far_interval: tuple[float, float]
    """95 % interval of their share; alike would be 5 %."""
    distance: Comparison
    unsureness: Comparison
    """How unsure the model is."""
    expected: float
    """Mean confidence: expected share of right guesses, if confidence means for them what it meant for the old."""
    old_expected: float
    unlike: int | None
    """New images that are unlike anything labelled; None where that was not looked for."""
    old_unlike: float | None
    """Share of the old images that are."""
    unlike_p: float
    classes: tuple[str, ...]
    """Classes whose share differs from that of the old images, the largest excess first."""

    @property
    def more_unlike(self) -> bool:
        """Whether more of the new images than of the old ones are unlike anything labelled."""
        return self.unlike_p < SIGNIFICANT

    @property
    def reasons(self) -> list[str]:
        """In what the new images are unlike the old ones; empty if in nothing that matters."""
        found = []
        if self.distance.matters:
            found.append("they lie farther from all clusters")
        if self.unsureness.matters:
            found.append("the model is less sure of them")
        if self.more_unlike:
            found.append("more of them are unlike anything labelled")
        return found


def look_at(reference: Reference, features: np.ndarray, probabilities: np.ndarray) -> NewImages:
    """Return what the model makes of new images.

    Args:
        reference: what the labelling kept.
        features: (n, D) as the model computes them.
        probabilities: (n, C) of the model.
    """
    from_all = distances(features, reference.centroids)
    found, old = None, None
    if len(reference.labels):
        n_old = len(reference.labels)
        labels = np.concatenate([reference.labels, np.full(len(features), UNLABELLED)])
        both = unlike(np.concatenate([reference.features.astype(np.float32), features]), labels)
        found, old = both[n_old:], both[:n_old][reference.labels == UNLABELLED]
    nearest = from_all.argmin(axis=1)
    return NewImages(
        guesses=probabilities.argmax(axis=1),
        confidence=reference.confidence(reference.score(features, probabilities)),
        clusters=nearest if reference.is_shown.any() else np.full(len(features), UNLABELLED),
        distances=from_all.min(axis=1),
        unlike=found,
        old_unlike=old,
    )


def drift_of(reference: Reference, new: NewImages) -> Drift:
    """Return how unlike the old images the new ones are; there is at least one."""
    n = len(new.guesses)
    learnt = not len(reference.judge_bias)
    least_far, least_unsure = LEAST_EFFECTS_OF_LEARNT if learnt else (LEAST_EFFECT, LEAST_EFFECT)
    far = int((new.distances > np.quantile(reference.distances, FAR)).sum())
    interval = binomtest(far, n).proportion_ci(method="wilson")
    counts = np.bincount(new.guesses, minlength=len(reference.about.classes))
    differing = mismatched_classes(np.array(reference.about.named), counts)
    unlike_new, old_share, p = None, None, 1.0
    if new.unlike is not None and new.old_unlike is not None:
        unlike_new = int(new.unlike.sum())
        old = int(new.old_unlike.sum())
        n_old = len(new.old_unlike)
        old_share = old / n_old if n_old else 0.0
        p = float(fisher_exact([[unlike_new, n - unlike_new], [old, n_old - old]], alternative="greater").pvalue)
    return Drift(
        images=n,
        far=far,
        far_interval=(float(interval.low), float(interval.high)),
        distance=_larger(new.distances, reference.distances, least_far),
        unsureness=_larger(-new.confidence, -reference.sure, least_unsure),
        expected=float(new.confidence.mean()),
        old_expected=float(reference.sure.mean()) if len(reference.sure) else float("nan"),
        unlike=unlike_new,
        old_unlike=old_share,
        unlike_p=p,
        classes=tuple(reference.about.classes[c] for c in differing),
    )


def _larger(new: np.ndarray, old: np.ndarray, least: float) -> Comparison:
    """Return the test of Mann and Whitney, and Vargha and Delaney's effect."""
    if not len(new) or not len(old):
        return Comparison(p=1.0, effect=0.5, least=least)
    test = mannwhitneyu(new, old, alternative="greater")
    return Comparison(p=float(test.pvalue), effect=float(test.statistic) / (len(new) * len(old)), least=least)
