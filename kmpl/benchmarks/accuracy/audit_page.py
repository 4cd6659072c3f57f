"""The audit's answers as markdown and as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kmpl.benchmarks.accuracy.audit import Answer
from kmpl.benchmarks.provenance import mean_sd_of, run_provenance
from kmpl.reports.figures import COLOURS, bare, canvas
from kmpl.reports.findings import percent
from kmpl.reports.sweep_page import grid

_N_CONFUSIONS = 6  # most frequent ones that are listed


def markdown(answers: Sequence[Answer], environment: Mapping[str, str]) -> str:
    """Return all answers as markdown."""
    parts = [
        "# What the notebook's faults are worth",
        "Measured with the notebook's own constants; fractions in %, mean ± sd over the seeds.",
        "## Retraining on true labels by mistake",
        _table(answers, "leak", ("labelled-only", "notebook", "oracle", "pseudo-labels right")),
        "*labelled-only* is the notebook's “before”; *notebook* retrains on the labels that it assigned; *oracle* on "
        "the true ones, as its code does: what it prints as “after”. The leak is worth the difference of the last two.",
        "## One run says little",
        _ranges(answers),
        "The lowest and the highest seed, and how many ended below their “before” after retraining on assigned labels.",
        "## The second K-means",
        _counts(answers),
        "## Features of another draw of the views than training saw",
        _table(answers, "other draw", ("right, the same draw", "right, another draw", "labels that differ")),
        "## Views of one digit on both sides of the split",
        _table(answers, "siblings", ("share with a labelled sibling", "accuracy with", "accuracy without")),
        "## Choosing the best epoch on the test",
        _table(answers, "best epoch", ("last", "best on test")),
        "## The last batch's loss, divided by the number of batches",
        _losses(answers),
        "## Digits that flips turn into others",
        _table(answers, "flips", ("as it is", "mirrored", "upside-down", "both")),
        _confused(answers),
        f"- seeds: {', '.join(map(str, sorted({answer.seed for answer in answers})))}\n{run_provenance(environment)}",
    ]
    return "\n\n".join(parts) + "\n"


def figure(answers: Sequence[Answer]) -> Figure:
    """Return four panels: the leak, the test after every epoch, views with and without a sibling, the flips."""
    drawn, axes = canvas(2, 2, 10, 7)
    ratios = _ratios(answers)
    _points(axes[0, 0], answers, "leak", ("labelled-only", "notebook", "oracle"), ratios)
    bare(axes[0, 0], "retrained on assigned labels, and on true ones by mistake", "labelled ratio", "accuracy (%)")
    _epochs(axes[0, 1], answers)
    bare(axes[0, 1], "the test after every epoch: each line a seed, ring: the best", "epoch", "accuracy (%)")
    _points(axes[1, 0], answers, "siblings", ("accuracy with", "accuracy without"), ratios)
    bare(axes[1, 0], "unlabelled views with and without a labelled sibling", "labelled ratio", "accuracy (%)")
    _points(axes[1, 1], answers, "flips", ("as it is", "mirrored", "upside-down", "both"), ratios)
    bare(axes[1, 1], "clean test images, flipped", "labelled ratio", "accuracy (%)")
    return drawn


def _of(answers: Sequence[Answer], question: str, ratio: float | None = None) -> list[Answer]:
    return [a for a in answers if a.question == question and ratio in (None, a.ratio)]


def _ratios(answers: Sequence[Answer]) -> list[float]:
    return sorted({answer.ratio for answer in answers}, reverse=True)


def _values(answers: Sequence[Answer], question: str, ratio: float, name: str) -> list[float]:
    return [answer.numbers[name] for answer in _of(answers, question, ratio)]


def _table(answers: Sequence[Answer], question: str, names: Sequence[str]) -> str:
    rows = [
        [f"{ratio:g}", *(mean_sd_of(_values(answers, question, ratio, name)) for name in names)]
        for ratio in _ratios(answers)
    ]
    return grid(["ratio", *names], rows, left=())


def _counts(answers: Sequence[Answer]) -> str:
    runs = _of(answers, "second K-means")
    images, differ = (int(sum(a.numbers[name] for a in runs)) for name in ("images", "labels that differ"))
    return (
        f"Of {images:,} unlabelled images ({len(runs)} runs) the class differs in {differ:,} between asking the "
        "nearest prototypes for all at once and for each cluster of the second K-means in turn."
    )


def _ranges(answers: Sequence[Answer]) -> str:
    rows = []
    for ratio in _ratios(answers):
        before, after = (_values(answers, "leak", ratio, name) for name in ("labelled-only", "notebook"))
        ends = [f"{percent(min(values))} to {percent(max(values))}" for values in (before, after)]
        below = sum(b > a for b, a in zip(before, after, strict=True))
        rows.append([f"{ratio:g}", *ends, f"{below} of {len(after)}"])
    return grid(["ratio", "labelled-only", "notebook", "below its “before”"], rows, left=())


def _losses(answers: Sequence[Answer]) -> str:
    names = ("over all images", "as the notebook")
    rows = [
        [f"{ratio:g}", *(f"{np.mean(_values(answers, 'last batch', ratio, name)):.5f}" for name in names)]
        for ratio in _ratios(answers)
    ]
    return grid(["ratio", *names], rows, left=())


def _confused(answers: Sequence[Answer]) -> str:
    ratio = _ratios(answers)[0]
    lines = []
    for way in ("mirrored", "upside-down", "both"):
        runs = [answer.numbers for answer in _of(answers, "flips", ratio)]
        names = {name for numbers in runs for name in numbers if name.startswith(f"{way}: ")}
        shares = {name: float(np.mean([numbers.get(name, 0.0) for numbers in runs])) for name in names}
        most = sorted(shares, key=lambda name: -shares[name])[:_N_CONFUSIONS]
        text = ", ".join(f"{name.removeprefix(f'{way}: ')} {shares[name]:.0%}" for name in most)
        lines.append(f"- {way}, at ratio {ratio:g}, most often: {text}")
    return "\n".join(lines)


def _points(a: Axes, answers: Sequence[Answer], question: str, names: Sequence[str], ratios: Sequence[float]) -> None:
    """Draw every seed as a point and the mean as a line; bars from zero would all look alike."""
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        for position, ratio in enumerate(ratios):
            values = 100 * np.asarray(_values(answers, question, ratio, name))
            x = position + (i - (len(names) - 1) / 2) * width
            a.plot([x] * len(values), values, "o", ms=4, color=COLOURS[i], alpha=0.6, label=None if position else name)
            a.plot([x - width / 3, x + width / 3], [values.mean()] * 2, color=COLOURS[i])
    a.set_xticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
    a.legend(frameon=False, fontsize=8, loc="lower left")


def _epochs(a: Axes, answers: Sequence[Answer]) -> None:
    for colour, ratio in zip(COLOURS, _ratios(answers), strict=False):
        for i, answer in enumerate(_of(answers, "best epoch", ratio)):
            accuracies = [100 * v for name, v in answer.numbers.items() if name.startswith("epoch ")]
            best = int(np.argmax(accuracies))
            a.plot(
                range(1, len(accuracies) + 1),
                accuracies,
                color=colour,
                lw=0.9,
                label=f"ratio {ratio:g}" if i == 0 else None,
            )
            a.plot([best + 1], [accuracies[best]], "o", mfc="none", color=colour)
    a.xaxis.set_major_locator(MaxNLocator(integer=True))
    a.legend(frameon=False, fontsize=8)
