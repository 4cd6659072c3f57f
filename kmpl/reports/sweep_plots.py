"""Figures of a sweep: accuracy and gain against the labelled ratio, with 95 % intervals and a dot per seed."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

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
_MAX_RATIOS_IN_NARROW_PANEL = 4  # with more ratios each panel needs the whole width
_LEAK_NOTE = (
    "Reference notebook: one run a ratio, test images of its own choice. Its “after” was trained on the true labels\n"
    "of all images (a leak), so it says nothing about pseudo-labels."
)


def accuracy_by_ratio(report: SweepReport) -> Figure:
    """Return test accuracy against labelled ratio, all arms: mean, interval, single seeds.

    For a sweep on the reference notebook's task, a first panel with the whole range shows the notebook's published
    numbers. They would squash the arms, so the arms have another panel.
    """
    panels = 2 if _comparable(report) else 1
    wide = _is_wide(report)
    shape = (panels, 1) if wide else (1, panels)
    figure, axes = canvas(*shape, 9 if wide or panels > 1 else 6.5, 3.6 * shape[0] + 1.0)
    if panels > 1:
        first = axes.flat[0]
        _arms(first, report, details=False)
        _notebook(first, sorted(report.settings.ratios))
        _label_axes(first, report, "beside the reference notebook: the means", "test accuracy (%)")
        figure.supxlabel(_LEAK_NOTE, x=0.01, ha="left", fontsize=8)
    last = axes.flat[-1]
    _arms(last, report, details=True)
    _label_axes(last, report, f"{'close-up: ' if panels > 1 else ''}{_legend(report)}", "test accuracy (%)")
    handles, names = axes.flat[0].get_legend_handles_labels()
    columns = max(1, (len(names) + 1) // 2)
    figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    return figure


def gain_by_ratio(report: SweepReport) -> Figure | None:
    """Return pseudo-label − labelled-only against labelled ratio, paired by seed; None unless both arms were run."""
    if not report.paired:
        return None
    figure, axes = canvas(1, 1, 9 if _is_wide(report) else 6.5, 3.6)
    a = axes[0, 0]
    a.axhline(0, color=_GREY, lw=1, ls="--")
    for x, pair in enumerate(reversed(report.paired)):
        gains = np.subtract(_seeds(report, pair.ratio, AFTER), _seeds(report, pair.ratio, BEFORE))
        dots(a, x - 0.08, gains, _GREY)
        _point(a, x, pair.mean, pair.low, pair.high, AFTER)
        a.annotate(points(pair.mean), (x, 100 * pair.mean), (8, 0), textcoords="offset points", va="center")
    _label_axes(a, report, f"{AFTER} − {BEFORE}: {_legend(report)}", "points of test accuracy")
    return figure


def gain_of_tuning(report: SweepReport) -> Figure | None:
    """Return tuned − untuned against labelled ratio, each arm, paired by seed; None if the sweep was not tuned."""
    if not report.tuned:
        return None
    figure, axes = canvas(1, 1, 9 if _is_wide(report) else 6.5, 3.6)
    a = axes[0, 0]
    arms = list(dict.fromkeys(gain.arm for gain in report.tuned))
    a.axhline(0, color=_GREY, lw=1, ls="--")
    for i, arm in enumerate(arms):
        gains = sorted((gain for gain in report.tuned if gain.arm == arm), key=lambda gain: gain.ratio)
        for x, gain in enumerate(gains):
            position = x + 0.24 * (i - (len(arms) - 1) / 2)
            pair = gain.test
            before, after = (_seeds(report, gain.ratio, arm, untuned) for untuned in (True, False))
            dots(a, position - 0.06, np.subtract(after, before), style_of(arm).colour)
            _point(a, position, pair.mean, pair.low, pair.high, arm)
        a.plot([], [], style_of(arm).marker, ms=5, color=style_of(arm).colour, label=arm)
    a.legend(frameon=False, fontsize=9)
    _label_axes(a, report, f"tuned − untuned: {_legend(report)}", "points of test accuracy")
    return figure


def all_figures(report: SweepReport) -> dict[str, Figure]:
    """Return every figure that the report has the numbers for, by name."""
    figures = {
        "accuracy_by_ratio": accuracy_by_ratio(report),
        "gain_by_ratio": gain_by_ratio(report),
        "gain_of_tuning": gain_of_tuning(report),
    }
    return {name: figure for name, figure in figures.items() if figure}


def png_files(report: SweepReport) -> dict[str, bytes]:
    """Return the figures as PNG files, by their paths in a run's artifacts."""
    return {f"figures/{name}.png": png(figure) for name, figure in all_figures(report).items()}


def _comparable(report: SweepReport) -> bool:
    """Return whether the sweep has the reference notebook's task: its data, views and number of labels at a ratio."""
    settings = report.settings.experiment
    same_task = settings.dataset == "MNIST" and settings.protocol == "notebook" and settings.pool.size in (0, 30_000)
    return same_task and any(ratio in NOTEBOOK for ratio in report.settings.ratios)


def _is_wide(report: SweepReport) -> bool:
    return len(report.settings.ratios) > _MAX_RATIOS_IN_NARROW_PANEL


def _legend(report: SweepReport) -> str:
    several = any(row.n > 1 for row in report.rows)
    return "mean, 95 % interval, single seeds" if several else "one seed, so no interval"


def _seeds(report: SweepReport, ratio: float, arm: str, untuned: bool = False) -> list[float]:
    results = report.untuned if untuned else report.results
    return accuracies(results, ratio, arm)


def _arms(axes: Axes, report: SweepReport, details: bool) -> None:
    """Draw all arms, side by side at each ratio, so that none hides another.

    Args:
        axes: to draw on.
        report: of the sweep.
        details: with intervals, single seeds and a line from ratio to ratio; otherwise only the means, close together,
            with room for the notebook's numbers to the right.
    """
    arms = report.settings.arms
    step = min(0.2, 0.8 / len(arms)) if details else min(0.12, 0.4 / len(arms))
    for i, arm in enumerate(arms):
        rows = sorted((row for row in report.rows if row.arm == arm), key=lambda row: row.ratio)
        positions = np.arange(len(rows)) + (i - (len(arms) - 1) / 2) * step
        means = [100 * row.mean for row in rows]
        colour, marker = style_of(arm)
        axes.plot(positions, means, marker, ms=5, color=colour, label=arm)
        if details:
            axes.plot(positions, means, color=colour, lw=0.8, alpha=0.5)
            _intervals_and_seeds(axes, positions, rows, report=report, step=step)


def _intervals_and_seeds(
    axes: Axes, positions: np.ndarray, rows: Sequence[Row], *, report: SweepReport, step: float
) -> None:
    for x, row in zip(positions, rows, strict=True):
        _point(axes, x, row.mean, row.low, row.high, row.arm)
        dots(axes, x - 0.4 * step, _seeds(report, row.ratio, row.arm), style_of(row.arm).colour)


def _point(axes: Axes, x: float, mean: float, low: float | None, high: float | None, arm: str) -> None:
    colour, marker = style_of(arm)
    errors = None if low is None or high is None else [[100 * (mean - low)], [100 * (high - mean)]]
    axes.errorbar([x], [100 * mean], yerr=errors, fmt=marker, ms=5, color=colour, elinewidth=1.4, capsize=3)


def dots(axes: Axes, x: float, values: Sequence[float] | np.ndarray, colour: str) -> None:
    """Draw the values of single seeds (fractions) in % at ``x``; nothing for one seed, which is the mean itself."""
    if len(values) > 1:
        axes.plot(np.full(len(values), x), 100 * np.asarray(values), ".", ms=4, color=colour)


class ArmStyle(NamedTuple):
    """How an arm is drawn."""

    colour: str
    marker: str


def style_of(arm: str) -> ArmStyle:
    """Return the style of an arm: the same in every figure, whatever other arms it shows."""
    number = _ARMS.index(arm)
    return ArmStyle(COLOURS[number], _MARKERS[number])


def _label_axes(axes: Axes, report: SweepReport, title: str, y: str) -> None:
    ratios = sorted(report.settings.ratios)
    labels = {result["config"]["ratio"]: result["labelled"] for result in report.results}
    axes.set_xticks(range(len(ratios)), [f"{ratio:g}\n{labels[ratio]:,}" for ratio in ratios])
    edge = 0.5 if len(ratios) > 1 else 1.0
    axes.set_xlim(-edge, len(ratios) - 1 + edge)
    axes.grid(axis="y", color=_GREY, alpha=0.25, lw=0.6)
    bare(axes, title, "labelled ratio, and labels", y)


def _notebook(axes: Axes, ratios: Sequence[float]) -> None:
    """Draw the notebook's numbers to the right of the arms; the higher value is labelled above, the lower below."""
    names = ("reference notebook, before", "reference notebook, “after” (true labels)")
    pairs = [(x + 0.32, NOTEBOOK[ratio]) for x, ratio in enumerate(ratios) if ratio in NOTEBOOK]
    positions = [x for x, _ in pairs]
    for index, (name, marker) in enumerate(zip(names, ("x", "+"), strict=True)):
        values = [pair[index] for _, pair in pairs]
        axes.plot(positions, values, marker, ms=7, mew=1.6, color=_GREY, label=name)
    for x, pair in pairs:
        for value, up in ((max(pair), 1), (min(pair), -1)):
            side = "bottom" if up > 0 else "top"
            offset = (0, 5 * up)  # in points, away from the marker
            axes.annotate(
                f"{value:.2f}", (x, value), offset, textcoords="offset points", ha="center", va=side, fontsize=8
            )
    axes.margins(y=0.12)  # room for the lowest value
