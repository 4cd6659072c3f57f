"""Whether training again is worth it, once new images are there: a rule, and the evidence for what it says.

Measured on pictures and digits (docs/log/attempts-labelling.md): training again without new labels changes little, on
new images of the same kind and of another. Twenty labels of images of another kind bring 11 to 24 points of accuracy
on them, of images of the same kind 4 to 7. So what decides is whether there are new labels, of which images they are,
and what they say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MORE_LABELS = 0.25
"""Given labels that have come, as a share of those that the model learnt from: from so many on, it is worth it."""
FEW = 5
"""Labels of new images that are unlike the old ones, at least: labels of old images say nothing of those."""
Answer = Literal["yes", "label first", "no"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Given labels of the images that are new this time, and what the model named them, before it knew the labels."""

    right: int
    """Of the labels, how many the model names."""
    labels: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share that the model names; of no label, all is possible."""
        if not self.labels:
            return 0.0, 1.0
        from scipy.stats import binomtest  # half a second, which a look at a folder without new files does not need

        ends = binomtest(self.right, self.labels).proportion_ci(method="wilson")
        return float(ends.low), float(ends.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class LaterLabels:
    """Labels that people gave since the model learnt, which it does not know."""

    of_new: int = 0
    """Of images that came since, this time or before."""
    of_old: int = 0
    unknown: tuple[str, ...] = ()
    """Classes among them that the model does not know, each once, sorted."""
    n_unknown: int = 0
    """Labels of such classes."""

    @property
    def all(self) -> int:
        """All of them."""
        return self.of_new + self.of_old

    @property
    def counted(self) -> str:
        """Their number, and of which images they are."""
        if not (self.of_new and self.of_old):
            return f"{_labels(self.all)} of {'new' if self.of_new else 'old'} images"
        return f"{_labels(self.all)} ({self.of_new:,} of new images, {self.of_old:,} of old ones)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether training again is worth it."""

    answer: Answer
    why: str
    """In one line, without a full stop."""


def worth(
    unlike: Sequence[str], check: Check, later: LaterLabels, *, promised: float | None, given: int, new: bool
) -> Verdict:
    """Return whether training again is worth it.

    Args:
        unlike: in what images that came since are unlike the old ones; empty if in nothing that matters.
        check: given labels of the images that are new this time.
        later: all labels that the model does not know.
        promised: accuracy that was expected of all old images; None where nothing was checked.
        given: given labels that the model learnt from.
        new: there are new images.
    """
    if later.n_unknown:
        names = ", ".join(later.unknown[:3]) + (", …" if len(later.unknown) > 3 else "")
        return Verdict("yes", f"{_labels(later.n_unknown)} of classes that the model does not know: {names}")
    if promised is not None and (high := check.interval[1]) < promised:
        found = f"the model names {check.right} of {_labels(check.labels)} of new images right"
        return Verdict("yes", f"{found}, so at most {high:.0%} of all such; {promised:.0%} were expected")
    because = f"images that came since are unlike the old ones ({' and '.join(unlike)})"
    if unlike and later.of_new >= FEW:
        return Verdict("yes", f"{because}, and {_labels(later.of_new)} of new images came")
    came = f"{later.counted} came since, and the model learnt from {given:,}"
    if later.all >= max(1.0, MORE_LABELS * given):
        return Verdict("yes", came)
    if unlike:
        few = f"only {_labels(later.of_new)} of new images came, and it takes {FEW}" if later.of_new else ""
        return Verdict("label first", f"{because}; {few or 'without labels of them it changes little'}")
    if later.all:
        return Verdict("no", f"{came}: from a quarter more on it is")
    alike = "nothing that matters tells the new images from the old ones, and " if new else ""
    return Verdict("no", f"{alike}no label came that the model does not know")


def _labels(n: int) -> str:
    return "1 given label" if n == 1 else f"{n:,} given labels"
