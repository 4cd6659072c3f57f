"""Whether training again is worth it, once new images are there: a rule, and the evidence for what it says.

Measured on pictures and digits (docs/log/attempts-labelling.md): training again without new labels changes little, on
new images of the same kind and of another. Twenty labels of images of another kind bring 11 to 24 points of accuracy
on them, of images of the same kind 4 to 7. So what decides is whether there are new labels, and what they say.
"""

from dataclasses import dataclass
from typing import Literal

from scipy.stats import binomtest

from kmpl.labelling.drift import Drift

MORE_LABELS = 0.25
"""Given labels that have come, as a share of those that the model learnt from: from so many on, it is worth it."""
_FEW = 5
"""New labels of images that are unlike, or of classes that the model does not know, at least."""
Answer = Literal["yes", "label first", "no"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Given labels of new images, and what the model named them, before it knew the labels."""

    right: int
    """Of the labels, how many the model names."""
    labels: int
    unknown: tuple[str, ...] = ()
    """Classes among them that the model does not know, each once, sorted."""
    n_unknown: int = 0
    """Labels of such classes."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share that the model names; of no label, all is possible."""
        if not self.labels:
            return 0.0, 1.0
        ends = binomtest(self.right, self.labels).proportion_ci(method="wilson")
        return float(ends.low), float(ends.high)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether training again is worth it."""

    answer: Answer
    why: str
    """In one line, without a full stop."""


def worth(drift: Drift | None, check: Check, *, promised: float | None, given: int, more: int) -> Verdict:
    """Return whether training again is worth it.

    Args:
        drift: of the new images; None where all of them have a given label, or there is none.
        check: given labels of new images.
        promised: accuracy that was expected of all old images; None where nothing was checked.
        given: given labels that the model learnt from.
        more: given labels that it does not know yet, of new and of old images.
    """
    if check.n_unknown:
        names = ", ".join(check.unknown[:3]) + (", …" if len(check.unknown) > 3 else "")
        return Verdict("yes", f"{_labels(check.n_unknown)} of classes that the model does not know: {names}")
    high = check.interval[1]
    if promised is not None and high < promised:
        found = f"{check.right} of {check.labels} given labels of new images are found, at most {high:.0%} of all such"
        return Verdict("yes", f"{found}; {promised:.0%} were expected")
    reasons = " and ".join(drift.reasons) if drift else ""
    if reasons and more >= _FEW:
        return Verdict("yes", f"the new images are unlike the old ones ({reasons}), and {_labels(more)} came since")
    if reasons:
        missing = "without labels of them it changes little"
        return Verdict("label first", f"the new images are unlike the old ones ({reasons}); {missing}")
    if more >= max(1.0, MORE_LABELS * given):
        return Verdict("yes", f"{_labels(more)} came since, and the model learnt from {given:,}")
    if more:
        few = f"{_labels(more)} came since, and the model learnt from {given:,}"
        return Verdict(
            "no", f"{few}: from a quarter more on it is" + (", or where new images are unlike" * bool(drift))
        )
    return Verdict("no", "nothing that matters tells the new images from the old ones, and no new label came")


def _labels(n: int) -> str:
    return "1 given label" if n == 1 else f"{n:,} given labels"
