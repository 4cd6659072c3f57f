"""The summary of a labelled folder: one line per class, the expected accuracy, and warnings."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kmpl.datasets.types import UNLABELLED
from kmpl.labelling import class_shares
from kmpl.labelling.label_table import UNLIKE, LabelTable
from kmpl.labelling.stopping import curve_line
from kmpl.labelling.words import abbreviate
from kmpl.reports.findings import why_early

_ADVICE = "more labels help most (kmpl suggest says which); --threshold 0 writes all the same"
_ADVICE_TO_LEARN = (
    "more labels help most (kmpl suggest says which); for photographs a backbone does (--backbone efficientnet-lite0); "
    "--threshold 0 writes all the same"
)
_MAX_NAMED = 5  # doubtful labels in a line
_MIN_EXPECTED_IMAGES = 3  # a class with fewer expected images may have none by chance


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSummary:
    """One class of the result; all counts are images."""

    name: str
    given: int
    """Images with a given label of this class."""
    assigned: int
    """Images with an assigned label of this class."""
    unsure: int
    """Images whose most likely class this is, with a confidence below the threshold."""
    median: float
    """Median confidence of the assigned labels; NaN if there are none."""


def class_summaries(table: LabelTable) -> list[ClassSummary]:
    """Return the summary of each class."""
    given = table.given
    assigned = table.assigned
    summaries = []
    for number, name in enumerate(table.folder.classes):
        members = table.guesses == number
        confidence = table.confidence[members & assigned]
        summaries.append(
            ClassSummary(
                name=name,
                given=int((members & given).sum()),
                assigned=len(confidence),
                unsure=int((members & ~given & ~assigned).sum()),
                median=float(np.median(confidence)) if len(confidence) else float("nan"),
            )
        )
    return summaries


def summary_line(table: LabelTable) -> str:
    """Return the numbers of given, assigned and missing labels in one sentence."""
    n = len(table.folder.files)
    given = int(table.given.sum())
    assigned = int(table.assigned.sum())
    empty = n - assigned - given
    n_by_cluster = len(table.folder.by_cluster)
    by_cluster = f" ({n_by_cluster:,} of them only as the name of a cluster)" if n_by_cluster else ""
    return f"{n:,} images: {given:,} labels given{by_cluster}, {assigned:,} assigned, {empty:,} unsure and left empty"


def check_line(table: LabelTable) -> str:
    """Return the expected accuracy of the labels in one line: the first line that a person should read."""
    nothing_assigned = table.choice.target_accuracy is not None and not table.assigned.any()
    coverage = f"{table.coverage:.1%} of the unlabelled images got a label"
    advice = _ADVICE if table.folder.frozen else _ADVICE_TO_LEARN
    line = f"{table.choice.message}; {advice if nothing_assigned else coverage}"
    if n := len(table.folder.by_cluster):
        worth = "weighs half, and is no evidence until someone looks at the image"
        if n > 1:
            worth = "weigh half, and are no evidence until someone looks at the images"
        line += f"; {n:,} given label{'s that only name clusters' if n > 1 else ' that only names a cluster'} {worth}"
    return line


def doubt_lines(table: LabelTable) -> list[str]:
    """Return what a person should look at, image by image, a line each; nothing of it was changed."""
    names = table.folder.classes
    lines = []
    if table.suspects:
        shown = [
            f"{table.folder.files[i]} ({names[table.folder.labels[i]]}, looks like {names[c]})"
            for i, c in sorted(table.suspects.items())
        ]
        what = "1 given label looks" if len(shown) == 1 else f"{len(shown):,} given labels look"
        lines.append(f"{what} like another class: {abbreviate(shown, _MAX_NAMED)}")
    if table.unlike is not None and (n := int((table.unlike & (table.classes == UNLABELLED)).sum())):
        lines.append(
            f"{n:,} of the empty {'is' if n == 1 else 'are'} {UNLIKE}: perhaps of a class that has no label yet"
        )
    return lines


def remark_lines(table: LabelTable) -> list[str]:
    """Return what a person may want to know besides: doubts, and what fewer labels would have given, a line each."""
    return [*doubt_lines(table), *([curve_line(table.curve)] if table.curve else [])]


def validation_line(table: LabelTable) -> str:
    """Return how many of the held-out validation labels the last network found again."""
    right = int(table.validation_right.sum())
    n = len(table.validation_right)
    if n:
        return f"Of {n} held-out validation labels, the last network found {right} again"
    if table.choice.is_checked:
        return "No label was held out for validation; the check gives the expected accuracy"
    return "No label was held out for validation, and nothing checks the result"


def early_line(table: LabelTable) -> str:
    """Return why the rounds ended early; empty if they did not."""
    reason = why_early(table.stop_reason)
    return f"The rounds ended early, {reason}" if reason else ""


def warning_lines(table: LabelTable) -> list[str]:
    """Return the reasons to doubt the result, whatever the hidden labels say, a line each."""
    names = table.folder.classes
    by_person = table.folder.checked  # labels that kmpl assigned earlier are its own choice, no sample
    unlabelled = ~by_person
    given = np.bincount(table.folder.labels[by_person], minlength=len(names))
    predicted = np.bincount(table.guesses[unlabelled], minlength=len(names))
    lines = [class_shares.mismatch_warning(names, given, predicted)]
    expected = (
        unlabelled.sum() * given / max(given.sum(), 1)
    )  # images of each class, if given labels are a random sample
    absent = [names[c] for c in np.flatnonzero((predicted == 0) & (expected >= _MIN_EXPECTED_IMAGES))]
    if absent:
        lines.append(f"No unlabelled image was named {abbreviate(absent, 5)}: look at the clusters")
    return [line for line in lines if line]


def check_record(table: LabelTable) -> dict[str, Any]:
    """Return the check as plain values for JSON: shares are fractions, None where nothing was checked."""
    choice = table.choice
    return {
        "said": check_line(table),
        "way": table.way,
        "warnings": warning_lines(table),
        "doubts": doubt_lines(table),
        "expected_right_by_labels": [[n, share] for n, share in table.curve],
        "expected_right": _finite(choice.expected_accuracy),
        "demanded": choice.target_accuracy,
        "expected_right_of_all_images": _finite(choice.expected_accuracy_of_all),
        "threshold": choice.threshold,
        "hidden_labels": choice.n_hidden,
        "found_again": choice.n_found_again,
        "images": len(table.folder.files),
        "given": int(table.given.sum()),
        "given_by_cluster": len(table.folder.by_cluster),
        "assigned": int(table.assigned.sum()),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def metrics_of(table: LabelTable) -> dict[str, float]:
    """Return the metrics that a tracker keeps, by name; NaN where a number is unknown."""
    right = table.validation_right
    metrics = {
        "labels/images": len(table.folder.files),
        "labels/given": int(table.given.sum()),
        "labels/assigned": int(table.assigned.sum()),
        "labels/coverage": table.coverage,
        "labels/threshold": float("nan") if table.choice.threshold is None else table.choice.threshold,
        "labels/expected_accuracy": table.choice.expected_accuracy,
        "labels/expected_accuracy_of_all": table.choice.expected_accuracy_of_all,
        "labels/hidden_found_again": float(right.mean()) if len(right) else float("nan"),
    }
    return metrics | {f"labels/assigned_{c}": line.assigned for c, line in enumerate(class_summaries(table))}


def run_note(table: LabelTable) -> str:
    """Return the text at the top of the run's page in MLflow, as markdown."""
    lines = [check_line(table), table.way, *warning_lines(table), *remark_lines(table), summary_line(table)]
    return "\n\n".join(f"{line}." for line in lines if line)
