"""Figures of a sweep: accuracy and gain against the labelled ratio. Intervals are 95 %, dots are single seeds."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kmpl.config.experiment import AFTER, BEFORE, Arm
from kmpl.reports.comparison import Row, SweepReport, accuracies
from kmpl.reports.figures import COLOURS, bare, canvas, png
from kmpl.reports.findings import points
from kmpl.reports.published import NOTEBOOK

_ARMS = get_args(Arm)
_MARKERS = ("o", "s", "^", "D", "v", "P")
_GREY = "#808080"  # legible on white and on black
_ABREAST = 4  # more ratios need the whole width for each panel
_LEAK = (
    "Reference notebook: one run a ratio, test images of its own choice. Its “after” was trained on the true labels\n"
    "of all images (a leak), so it says nothing about pseudo-labels."
)


def accuracy_by_ratio(report: SweepReport) -> Figure:
    """Return test accuracy against labelled ratio, all arms: mean, interval, single seeds.

    Where the sweep does the reference notebook's task, a first panel over the whole range shows its printed numbers;
    they would squash the arms, so the arms have a panel of their own.
    """
    panels, wide = 2 if _comparable(report) else 1, _wide(report)
    shape = (panels, 1) if wide else (1, panels)
    figure, axes = canvas(*shape, 9 if wide or panels > 1 else 6.5, 3.6 * shape[0] + 1.0)
    if panels > 1:
        first = axes.flat[0]
        _arms(first, report, closely=False)
        _notebook(first, sorted(report.settings.ratios))
        _words(first, report, "beside the reference notebook: the means", "test accuracy (%)")
        figure.supxlabel(_LEAK, x=0.01, ha="left", fontsize=8)
    last = axes.flat[-1]
    _arms(last, report, closely=True)
    _words(last, report, f"{'close-up: ' if panels > 1 else ''}{_drawn(report)}", "test accuracy (%)")
    handles, names = axes.flat[0].get_legend_handles_labels()
    columns = max(1, (len(names) + 1) // 2)
    figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    return figure


def gain_by_ratio(report: SweepReport) -> Figure | None:
    """Return pseudo-label − labelled-only against labelled ratio, paired by seed; None if they were not both run."""
    if not report.paired:
        return None
    figure, axes = canvas(1, 1, 9 if _wide(report) else 6.5, 3.6)
    a = axes[0, 0]
    a.axhline(0, color=_GREY, lw=1, ls="--")
    for x, pair in enumerate(reversed(report.paired)):
        gains = np.subtract(_seeds(report, pair.ratio, AFTER), _seeds(report, pair.ratio, BEFORE))
        dots(a, x - 0.08, gains, _GREY)
        _point(a, x, pair.mean, pair.low, pair.high, AFTER)
        a.annotate(points(pair.mean), (x, 100 * pair.mean), (8, 0), textcoords="offset points", va="center")
    _words(a, report, f"{AFTER} − {BEFORE}: {_drawn(report)}", "points of test accuracy")
    return figure


def gain_of_tuning(report: SweepReport) -> Figure | None:
    """Return tuned − untuned against labelled ratio, each arm, paired by seed; None if the sweep was not tuned."""
    if not report.tuned:
        return None
    figure, axes = canvas(1, 1, 9 if _wide(report) else 6.5, 3.6)
    a, arms = axes[0, 0], list(dict.fromkeys(gain.arm for gain in report.tuned))
    a.axhline(0, color=_GREY, lw=1, ls="--")
    for i, arm in enumerate(arms):
        gains = sorted((gain for gain in report.tuned if gain.arm == arm), key=lambda gain: gain.ratio)
        for x, gain in enumerate(gains):
            place, pair = x + 0.24 * (i - (len(arms) - 1) / 2), gain.test
            before, after = (_seeds(report, gain.ratio, arm, untuned) for untuned in (True, False))
            dots(a, place - 0.06, np.subtract(after, before), look(arm)[0])
            _point(a, place, pair.mean, pair.low, pair.high, arm)
        a.plot([], [], look(arm)[1], ms=5, color=look(arm)[0], label=arm)
    a.legend(frameon=False, fontsize=9)
    _words(a, report, f"tuned − untuned: {_drawn(report)}", "points of test accuracy")
    return figure


def all_figures(report: SweepReport) -> dict[str, Figure]:
    """Return every figure that the report has the numbers for, by name."""
    found = {"accuracy_by_ratio": accuracy_by_ratio(report), "gain_by_ratio": gain_by_ratio(report)}
    found["gain_of_tuning"] = gain_of_tuning(report)
    return {name: figure for name, figure in found.items() if figure}


def pictures(report: SweepReport) -> dict[str, bytes]:
    """Return the figures as PNG files by their paths below a run."""
    return {f"figures/{name}.png": png(figure) for name, figure in all_figures(report).items()}


def _comparable(report: SweepReport) -> bool:
    """Return whether the sweep does the notebook's task: its data, its views, its number of labels at a ratio."""
    settings = report.settings.experiment
    same = settings.dataset == "MNIST" and settings.protocol == "notebook" and settings.pool.size in (0, 30_000)
    return same and any(ratio in NOTEBOOK for ratio in report.settings.ratios)


def _wide(report: SweepReport) -> bool:
    return len(report.settings.ratios) > _ABREAST


def _drawn(report: SweepReport) -> str:
    several = any(row.n > 1 for row in report.rows)
    return "mean, 95 % interval, single seeds" if several else "one seed, so no interval"


def _seeds(report: SweepReport, ratio: float, arm: str, untuned: bool = False) -> list[float]:
    results = report.untuned if untuned else report.results
    return accuracies(results, ratio, arm)


def _arms(axes: Axes, report: SweepReport, closely: bool) -> None:
    """Draw every arm, side by side at each ratio, so that none hides another.

    Args:
        axes: where.
        report: of the sweep.
        closely: with intervals, single seeds and a line from ratio to ratio; else the means alone, close together,
            which leaves room to the right of them.
    """
    arms = report.settings.arms
    step = min(0.2, 0.8 / len(arms)) if closely else min(0.12, 0.4 / len(arms))
    for i, arm in enumerate(arms):
        rows = sorted((row for row in report.rows if row.arm == arm), key=lambda row: row.ratio)
        places = np.arange(len(rows)) + (i - (len(arms) - 1) / 2) * step
        means, (colour, marker) = [100 * row.mean for row in rows], look(arm)
        axes.plot(places, means, marker, ms=5, color=colour, label=arm)
        if closely:
            axes.plot(places, means, color=colour, lw=0.8, alpha=0.5)
            _spread(axes, places, rows, report, step)


def _spread(axes: Axes, places: np.ndarray, rows: Sequence[Row], report: SweepReport, step: float) -> None:
    for x, row in zip(places, rows, strict=True):
        _point(axes, x, row.mean, row.low, row.high, row.arm)
        dots(axes, x - 0.4 * step, _seeds(report, row.ratio, row.arm), look(row.arm)[0])


def _point(axes: Axes, x: float, mean: float, low: float | None, high: float | None, arm: str) -> None:
    colour, marker = look(arm)
    errors = None if low is None or high is None else [[100 * (mean - low)], [100 * (high - mean)]]
    axes.errorbar([x], [100 * mean], yerr=errors, fmt=marker, ms=5, color=colour, elinewidth=1.4, capsize=3)


def dots(axes: Axes, x: float, values: Sequence[float] | np.ndarray, colour: str) -> None:
    """Draw single seeds (fractions) in % at ``x``; a single one is its own mean."""
    if len(values) > 1:
        axes.plot(np.full(len(values), x), 100 * np.asarray(values), ".", ms=4, color=colour)


def look(arm: str) -> tuple[str, str]:
    """Return an arm's colour and marker: the same in every figure, whatever other arms there are."""
    place = _ARMS.index(arm)
    return COLOURS[place], _MARKERS[place]


def _words(axes: Axes, report: SweepReport, title: str, y: str) -> None:
    ratios = sorted(report.settings.ratios)
    labels = {result["config"]["ratio"]: result["labelled"] for result in report.results}
    axes.set_xticks(range(len(ratios)), [f"{ratio:g}\n{labels[ratio]:,}" for ratio in ratios])
    edge = 0.5 if len(ratios) > 1 else 1.0
    axes.set_xlim(-edge, len(ratios) - 1 + edge)
    axes.grid(axis="y", color=_GREY, alpha=0.25, lw=0.6)
    bare(axes, title, "labelled ratio, and labels", y)


def _notebook(axes: Axes, ratios: Sequence[float]) -> None:
    """Mark the notebook's numbers to the right of the arms; the higher one has its value above, the lower one below."""
    names = ("reference notebook, before", "reference notebook, “after” (true labels)")
    known = [(x + 0.32, NOTEBOOK[ratio]) for x, ratio in enumerate(ratios) if ratio in NOTEBOOK]
    for which, (name, marker) in enumerate(zip(names, ("x", "+"), strict=True)):
        places, values = [x for x, _ in known], [pair[which] for _, pair in known]
        axes.plot(places, values, marker, ms=7, mew=1.6, color=_GREY, label=name)
    for x, pair in known:
        for value, up in ((max(pair), 1), (min(pair), -1)):
            side = "bottom" if up > 0 else "top"
            place = (0, 5 * up)  # in points, away from the mark
            axes.annotate(
                f"{value:.2f}", (x, value), place, textcoords="offset points", ha="center", va=side, fontsize=8
            )
    axes.margins(y=0.12)  # room for the lowest value
