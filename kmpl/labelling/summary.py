"""What a labelled folder says of itself: classes, the check, the warnings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmpl.labelling import class_shares
from kmpl.labelling.label_table import Labelled
from kmpl.reports.findings import why_early


def shortened(names: Sequence[str], shown: int, between: str = ", ") -> str:
    """Return the first names, and how many more there are.

    >>> shortened(["a", "b", "c"], 2), shortened(["a", "b"], 2)
    ('a, b, and 1 more', 'a, b')
    """
    return between.join(names[:shown]) + (f", and {len(names) - shown:,} more" if len(names) > shown else "")


@dataclass(frozen=True)
class ClassSummary:
    """One class of the result."""

    name: str
    given: int
    assigned: int
    unsure: int
    """Images that would be of this class, below the threshold."""
    median: float
    """Confidence of the assigned ones; NaN if there are none."""


def summary(done: Labelled) -> list[ClassSummary]:
    """Return one line per class."""
    lines = []
    for number, name in enumerate(done.found.classes):
        own = done.guesses == number
        assigned = own & done.assigned
        median = float(np.median(done.confidence[assigned])) if assigned.any() else float("nan")
        unsure = int((own & ~done.given & ~done.assigned).sum())
        lines.append(ClassSummary(name, int((own & done.given).sum()), int(assigned.sum()), unsure, median))
    return lines


def summary_line(done: Labelled) -> str:
    """Return what was done in one sentence."""
    n, assigned, given = len(done.found.files), int(done.assigned.sum()), int(done.given.sum())
    return (
        f"{n:,} images: {given:,} labels given, {assigned:,} assigned, {n - assigned - given:,} unsure and left empty"
    )


def check_line(done: Labelled) -> str:
    """Return how many labels are expected to be right, in one line: the first thing to be read."""
    chosen = done.chosen
    withheld = chosen.demanded is not None and not done.assigned.any()
    labelled = f"{done.coverage:.1%} of the unlabelled images got a label"
    return f"{chosen.said}; {_HELP if withheld else labelled}"


_HELP = (
    "more labels help most (kmpl suggest says which); for photographs so may --augmentation.flip and a larger --size; "
    "--threshold 0 writes all the same"
)


def hidden_line(done: Labelled) -> str:
    """Return what the labels say that were hidden from the last network."""
    found, hidden = int(done.checked.sum()), len(done.checked)
    if hidden:
        return f"Of {hidden} given labels that were hidden from the last network, {found} were found again"
    if done.chosen.tested:
        return "No label was hidden from the last network; those that were hidden in turn say what to expect"
    return "Too few labels to hide any, so nothing checks the result"


def early_line(done: Labelled) -> str:
    """Return why the rounds ended early; empty if they did not."""
    reason = why_early(done.stop_reason)
    return f"The rounds ended early, {reason}" if reason else ""


_DUE = 3  # images: where fewer are to be expected, none is no wonder


def warnings_of(done: Labelled) -> list[str]:
    """Return what speaks against the result, whatever the hidden labels say, a line each."""
    n_classes, rest = len(done.found.classes), ~done.given
    given = np.bincount(done.found.labels[done.given], minlength=n_classes)
    named = np.bincount(done.guesses[rest], minlength=n_classes)
    lines = [class_shares.warning(done.found.classes, given, named)]
    due = rest.sum() * given / given.sum()  # images of each class, if given labels are a fair sample
    none = [done.found.classes[c] for c in np.flatnonzero((named == 0) & (due >= _DUE))]
    if none:
        lines.append(f"Look at the clusters: no unlabelled image was taken for {shortened(none, 5)}")
    return [line for line in lines if line]


def check_record(done: Labelled) -> dict[str, Any]:
    """Return what is known of the result as plain values: shares are fractions, None where nothing was checked."""
    chosen, number = done.chosen, lambda x: None if x is None or not np.isfinite(x) else float(x)
    return {
        "said": check_line(done),
        "warnings": warnings_of(done),
        "expected_right": number(chosen.expected),
        "demanded": chosen.demanded,
        "expected_right_of_all_images": number(chosen.whole),
        "threshold": chosen.threshold if chosen.threshold <= 1 else None,
        "hidden_labels": chosen.tested,
        "found_again": chosen.found_again,
        "images": len(done.found.files),
        "given": int(done.given.sum()),
        "assigned": int(done.assigned.sum()),
    }


def numbers_of(done: Labelled) -> dict[str, float]:
    """Return the numbers that a tracker keeps, by name; NaN where there is none."""
    numbers = {
        "labels/images": len(done.found.files),
        "labels/given": int(done.given.sum()),
        "labels/assigned": int(done.assigned.sum()),
        "labels/coverage": done.coverage,
        "labels/threshold": done.chosen.threshold,
        "labels/expected_accuracy": done.chosen.expected,
        "labels/expected_accuracy_of_all": done.chosen.whole,
        "labels/hidden_found_again": float(done.checked.mean()) if len(done.checked) else float("nan"),
    }
    return numbers | {f"labels/assigned_{c}": line.assigned for c, line in enumerate(summary(done))}


def note(done: Labelled) -> str:
    """Return what is said at the top of the run's page, as markdown."""
    return "\n\n".join(f"{line}." for line in (check_line(done), *warnings_of(done), summary_line(done)))


def target_name(root: Path) -> str:
    """Return what a folder is called in titles."""
    return root.absolute().name or str(root)
