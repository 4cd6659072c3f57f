"""Error with few labels, beside the numbers that papers printed."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kmpl.benchmarks import options
from kmpl.benchmarks.provenance import gains, mean_sd, pool_line, run_mark, sweep_provenance
from kmpl.config.experiment import AFTER
from kmpl.reports.comparison import Row, SweepReport, accuracies
from kmpl.reports.figures import bare, canvas
from kmpl.reports.published import LITERATURE
from kmpl.reports.sweep_page import grid
from kmpl.reports.sweep_plots import dots, style_of

SETTINGS = options.SETTINGS["literature"]
RATIOS = options.RATIOS["literature"]

_GREY = "#808080"
_SHIFT_FACTOR = 1.035  # from arm to arm on the axis: side by side, no arm hides another
_INTRODUCTION = """\
Error in % on the clean test images, after training on so many labels (validation among them) and on the rest of the
pool without. The oracle has all labels. Mean ± sd over the seeds: each draws labels, weights and batches anew, the same
for every arm. The test was opened once per arm and seed."""
_CAUTION = """\
In italics what others printed; with \\* from memory, not checked at the source. Networks, augmentation and use of
validation differ from paper to paper; the arms share theirs."""


def markdown(report: SweepReport) -> str:
    """Return the table as markdown."""
    labels = _labels(report)
    ours = [_line(report, arm, labels) for arm in report.settings.arms]
    printed = [
        [f"*{name}*", *(str(errors.get(n, "–")) for n in labels.values()), ""] for name, errors in LITERATURE.items()
    ]
    parts = [
        "# Few labels",
        f"{_INTRODUCTION} {pool_line(report)}",
        grid(["", *(f"{n:,} labels" for n in labels.values()), "minutes a run"], [*ours, *printed], left=("",)),
        _CAUTION,
        *gains(report, "accuracy", {ratio: f"{n:,} labels" for ratio, n in labels.items()}),
        sweep_provenance(report),
    ]
    return "\n\n".join(parts) + "\n"


def figure(report: SweepReport) -> Figure:
    """Return error against labels, both on logarithmic scales."""
    drawn, axes = canvas(1, 1, 9, 5.2)
    a = axes[0, 0]
    labels = _labels(report)
    arms = report.settings.arms
    for i, arm in enumerate(arms):
        shift = _SHIFT_FACTOR ** (i - (len(arms) - 1) / 2)
        colour, marker = style_of(arm)
        errors = {shift * n: 1 - np.array(accuracies(report.results, ratio, arm)) for ratio, n in labels.items()}
        means = [100 * seeds.mean() for seeds in errors.values()]
        a.plot(list(errors), means, f"{marker}-", ms=5, color=colour, label=arm)
        for position, seeds in errors.items():
            dots(a, position, seeds, colour)
    for method, printed in LITERATURE.items():
        points = [(n, printed[n].error) for n in labels.values() if n in printed]
        if points:
            a.plot(*zip(*points, strict=True), "x:", color=_GREY, lw=0.6, ms=5)
            a.annotate(method, points[0], (-18, 0), textcoords="offset points", ha="right", va="center", fontsize=7)
    _scales(a, list(labels.values()))
    a.legend(frameon=False, fontsize=9)
    bare(a, "error on the clean test: mean and single seeds; grey: printed elsewhere", "labels", "error (%)")
    return drawn


def _scales(a: Axes, labels: list[int]) -> None:
    a.set_xscale("log")
    a.set_yscale("log")
    a.set_xlim(min(labels) / 8, max(labels) * 1.3)  # room for names to the left
    for axis, ticks in ((a.xaxis, labels), (a.yaxis, [0.3, 0.5, 1, 2, 5, 10, 20])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _labels(report: SweepReport) -> dict[float, int]:
    """Return the number of labels by ratio, rising."""
    labels = {result["config"]["ratio"]: result["labelled"] for result in report.results}
    return dict(sorted(labels.items()))


def _row(report: SweepReport, ratio: float, arm: str) -> Row:
    return next(row for row in report.rows if (row.ratio, row.arm) == (ratio, arm))


def _line(report: SweepReport, arm: str, labels: Mapping[float, int]) -> list[str]:
    rows = [_row(report, ratio, arm) for ratio in labels]
    minutes = np.mean([report.times[f"ratio {ratio:g}, {arm}"] for ratio in labels]) / 60
    cells = [arm, *(mean_sd(1 - row.mean, row.sd) for row in rows)]
    return [f"**{text}**" if arm == AFTER else text for text in cells] + [f"{minutes:.1f}{run_mark(report, arm)}"]
