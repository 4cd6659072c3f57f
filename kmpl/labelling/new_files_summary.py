"""What was made of the new files of a folder: in lines, as plain values, and as metrics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kmpl.datasets.new_files import FolderChanges
from kmpl.labelling.reference import About
from kmpl.labelling.training_again import Check, LaterLabels, Verdict

if TYPE_CHECKING:  # it imports PyTorch, which a look at a folder without new files does not need
    from kmpl.labelling.drift import Drift

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
    drift: "Drift | None"
    """None if there is no new image."""
    check: Check
    later: LaterLabels
    verdict: Verdict

    @property
    def images(self) -> int:
        """New and changed files that could be read."""
        return self.given + self.assigned + self.unsure


def count_line(changes: FolderChanges) -> str:
    """Return how the folder has changed, in one sentence.

    >>> count_line(FolderChanges(new=("a", "b"), changed=("f",), moved={"c": "d"}, gone=("e",)))
    '3 new images (1 in the place of an old one), 1 renamed or copied, 1 gone'
    """
    n, changed = len(changes.unseen), len(changes.changed)
    parts = [f"{n:,} new image{'' if n == 1 else 's'}" + (f" ({changed:,} in the place of an old one)" * bool(changed))]
    parts += [f"{len(changes.moved):,} renamed or copied"] if changes.moved else []
    parts += [f"{len(changes.gone):,} gone"] if changes.gone else []
    return ", ".join(parts)


def lines(summary: NewFilesSummary) -> list[str]:
    """Return what a person should read, a line each, without full stops."""
    if not summary.changes.unseen and not summary.changes.moved:
        gone = f"; {len(summary.changes.gone):,} gone" if summary.changes.gone else ""
        found = [f"No image is new since run {summary.run}, or since those after it{gone}"]
    else:
        found = [f"{count_line(summary.changes)}; the model of run {summary.run} names them"]
    if summary.drift is not None:
        found.append(labels_line(summary))
    if summary.check.labels:
        found.append(check_line(summary))
    if summary.later.all:
        found.append(later_line(summary))
    return [*found, *(drift_lines(summary.drift) if summary.drift else []), verdict_line(summary.verdict)]


def labels_line(summary: NewFilesSummary) -> str:
    """Return how many of the new images have a label, and how many of them are expected to be right."""
    line = f"Their labels: {summary.given:,} given, {summary.assigned:,} assigned, "
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
    n = f"{check.labels:,} given label{'' if check.labels == 1 else 's'}"
    line = f"Before it knows them, the model names {check.right:,} of {n} of these new images right"
    promised = summary.about.expected_of_all
    expected = "" if promised is None else f"; {promised:.0%} were expected of the old ones"
    return f"{line} (so {low:.0%} to {high:.0%} of all such){expected}"


def later_line(summary: NewFilesSummary) -> str:
    """Return that labels came which the model does not know, and what they do."""
    later = summary.later
    does = "It stands in the table and changes" if later.all == 1 else "They stand in the table and change"
    known = f"{later.counted} came since the model learnt"
    return f"{known}. {does} no other label until the whole folder is labelled again"


def drift_lines(drift: "Drift") -> list[str]:
    """Return how unlike the old images the new ones are: in words first, then the numbers; a line each."""
    n = f"{drift.images:,}"
    far = f"The new images look {'unlike' if drift.distance.matters else 'like'} the old ones: {drift.far:,} of {n} "
    far += f"{'is' if drift.far == 1 else 'are'} far from all clusters, as 5% of the old ones are "
    far += f"({_pairs('farther', drift.distance.effect, drift.distance.p)})"
    than = "less sure of them than" if drift.unsureness.matters else "about as sure of them as"
    sure = f"The model is {than} of the old ones: confidence {drift.expected:.1%} on average, {drift.old_expected:.1%} "
    sure += f"of the old ({_pairs('less sure', drift.unsureness.effect, drift.unsureness.p)})"
    found = [far, sure]
    if drift.unlike is not None and drift.old_unlike is not None:
        begin = "More of them than of the old ones" if drift.more_unlike else "No more of them than of the old ones"
        share = f"{drift.unlike:,} of {n}, {drift.old_unlike:.0%} of the old ({_p(drift.unlike_p)})"
        found.append(f"{begin} are unlike what is labelled: {share}")
    if drift.classes:
        found.append(f"Classes whose share is another than before: {', '.join(drift.classes)}")
    return found


def _pairs(what: str, effect: float, p: float) -> str:
    return f"{what} in {effect:.0%} of pairs of a new and an old one; alike is 50%; {_p(p)}"


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
        "later_labels_of_new_images": summary.later.of_new,
        "later_labels_of_old_images": summary.later.of_old,
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


def _numbers(drift: "Drift") -> dict[str, float]:
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
