"""What was made of the new files of a folder: in lines, as plain values, and as metrics."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kmpl.datasets.new_files import FolderChanges
from kmpl.labelling.drift import Drift
from kmpl.labelling.reference import About
from kmpl.labelling.training_again import Check, Verdict

_ANSWERS = {
    "yes": "Training again is worth it",
    "label first": "Label some of the new images first, then training again is worth it",
    "no": "Training again is not worth it",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFilesSummary:
    """What was made of new files; all counts are images."""

    run: str
    """Id of the labelling run whose model named them."""
    about: About
    changes: FolderChanges
    given: int
    """New images with a given label."""
    assigned: int
    """New images that got a label of the model."""
    unsure: int
    """New images below the threshold, left empty."""
    expected: float
    """Mean confidence of the assigned labels; NaN if there is none."""
    drift: Drift | None
    """None if there is no new image."""
    check: Check
    verdict: Verdict

    @property
    def images(self) -> int:
        """New and changed files that could be read."""
        return self.given + self.assigned + self.unsure


def count_line(changes: FolderChanges) -> str:
    """Return how the folder has changed, in one sentence.

    >>> count_line(FolderChanges(new=("a", "b"), changed=(), moved={"c": "d"}, gone=("e",)))
    '2 new files, 1 renamed or copied, 1 gone'
    """
    n = len(changes.new)
    parts = [f"{n:,} new file{'' if n == 1 else 's'}"]
    parts += [f"{len(changes.changed):,} changed"] if changes.changed else []
    parts += [f"{len(changes.moved):,} renamed or copied"] if changes.moved else []
    parts += [f"{len(changes.gone):,} gone"] if changes.gone else []
    return ", ".join(parts)


def nothing_line(summary: NewFilesSummary) -> str:
    """Return that there is nothing to label."""
    gone = f"; {len(summary.changes.gone):,} gone" if summary.changes.gone else ""
    return f"No file is without a name of run {summary.run} or of those after it{gone}"


def lines(summary: NewFilesSummary) -> list[str]:
    """Return what a person should read, a line each, without full stops."""
    found = [f"{count_line(summary.changes)}; the model of run {summary.run} names them"]
    if summary.drift is None:
        return [*found, verdict_line(summary.verdict)]
    found.append(labels_line(summary))
    if summary.check.labels:
        found.append(check_line(summary))
    return [*found, *drift_lines(summary.drift), verdict_line(summary.verdict)]


def labels_line(summary: NewFilesSummary) -> str:
    """Return how many of the new images have a label, and how many of them are expected to be right."""
    line = f"{summary.images:,} new images: {summary.given:,} labels given, {summary.assigned:,} assigned, "
    line += f"{summary.unsure:,} unsure and left empty"
    threshold = summary.about.threshold
    if threshold is None:
        return f"{line}; the run found no confidence that is enough, so none is assigned"
    if summary.assigned and summary.about.expected is not None:
        right = f"{summary.expected:.1%} of the assigned are expected to be right"
        unlike = summary.drift is not None and summary.drift.reasons
        but = "fewer are, as they are unlike the old ones" if unlike else "if confidence means for them what it meant"
        line += f" (threshold {threshold:.3f} as in the run; {right}, {but})"
    return line + ("; the guarantee of the run does not cover them" if summary.about.guarantee else "")


def check_line(summary: NewFilesSummary) -> str:
    """Return how many given labels of new images the model names."""
    check = summary.check
    low, high = check.interval
    line = f"Of {_of(check.labels, 'given label')} of new images the model names {check.right:,} right"
    line += f" ({low:.0%} to {high:.0%} of all such)"
    promised = summary.about.expected_of_all
    return line + (f"; {promised:.0%} were expected of the old ones" if promised is not None else "")


def drift_lines(drift: Drift) -> list[str]:
    """Return how unlike the old images the new ones are, a line each."""
    low, high = drift.far_interval
    far = f"Drift: {drift.far:,} of {drift.images:,} lie farther from all clusters than 95 % of the old images do"
    far += f" ({low:.0%} to {high:.0%}; alike would be 5 %); a new one is farther than an old one in "
    far += f"{drift.distance.effect:.0%} of pairs ({_p(drift.distance.p)})"
    sure = f"The model is less sure of a new one in {drift.unsureness.effect:.0%} of pairs ({_p(drift.unsureness.p)}): "
    sure += f"confidence {drift.expected:.1%} on average, {drift.old_expected:.1%} of the old ones"
    found = [far, sure]
    if drift.unlike is not None and drift.old_unlike is not None:
        share = f"{drift.unlike:,} of {drift.images:,} are unlike what is labelled"
        found.append(f"{share}, {drift.old_unlike:.0%} of the old ones ({_p(drift.unlike_p)})")
    if drift.classes:
        found.append(f"Classes whose share is another than before: {', '.join(drift.classes)}")
    return found


def verdict_line(verdict: Verdict) -> str:
    """Return whether training again is worth it, and why."""
    return f"{_ANSWERS[verdict.answer]}: {verdict.why}"


def record(summary: NewFilesSummary) -> dict[str, Any]:
    """Return the summary as plain values for JSON: shares are fractions, None where nothing is known."""
    changes, drift, check = summary.changes, summary.drift, summary.check
    return {
        "said": lines(summary),
        "run": summary.run,
        "new": list(changes.new),
        "changed": list(changes.changed),
        "renamed_or_copied": dict(changes.moved),
        "gone": list(changes.gone),
        "given": summary.given,
        "assigned": summary.assigned,
        "unsure": summary.unsure,
        "expected_right": _finite(summary.expected),
        "threshold": summary.about.threshold,
        "given_labels_named_right": check.right,
        "given_labels_checked": check.labels,
        "drift": None if drift is None else {name: _finite(value) for name, value in _numbers(drift).items()},
        "differing_classes": [] if drift is None else list(drift.classes),
        "train_again": summary.verdict.answer,
        "why": summary.verdict.why,
    }


def metrics_of(summary: NewFilesSummary) -> dict[str, float]:
    """Return the metrics that a tracker keeps, by name; NaN where a number is unknown."""
    changes = summary.changes
    metrics: dict[str, float] = {
        "new_files/new": len(changes.new),
        "new_files/changed": len(changes.changed),
        "new_files/moved": len(changes.moved),
        "new_files/gone": len(changes.gone),
        "new_files/given": summary.given,
        "new_files/assigned": summary.assigned,
        "new_files/unsure": summary.unsure,
        "new_files/expected_accuracy": summary.expected,
        "new_files/given_named_right": summary.check.right / summary.check.labels if summary.check.labels else np.nan,
    }
    drift = {} if summary.drift is None else _numbers(summary.drift)
    return metrics | {f"drift/{name}": value for name, value in drift.items()}


def note(summary: NewFilesSummary) -> str:
    """Return the text at the top of the run's page in MLflow, as markdown."""
    return "\n\n".join(f"{line}." for line in lines(summary))


def _numbers(drift: Drift) -> dict[str, float]:
    unlike = np.nan if drift.unlike is None else drift.unlike / drift.images
    return {
        "far": drift.far / drift.images,
        "far_low": drift.far_interval[0],
        "far_high": drift.far_interval[1],
        "distance_effect": drift.distance.effect,
        "distance_p": drift.distance.p,
        "unsureness_effect": drift.unsureness.effect,
        "unsureness_p": drift.unsureness.p,
        "confidence": drift.expected,
        "old_confidence": drift.old_expected,
        "unlike": unlike,
        "old_unlike": np.nan if drift.old_unlike is None else drift.old_unlike,
        "unlike_p": drift.unlike_p,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
