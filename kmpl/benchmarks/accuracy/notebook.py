"""Accuracy on the reference notebook's task, view by view, beside the numbers that the notebook printed."""

import numpy as np
from matplotlib.figure import Figure

from kmpl.benchmarks import options
from kmpl.benchmarks.provenance import gains, mean_sd, pool_line, run_mark, sweep_provenance
from kmpl.config.experiment import AFTER
from kmpl.reports.comparison import SweepReport
from kmpl.reports.published import NOTEBOOK
from kmpl.reports.sweep_page import grid
from kmpl.reports.sweep_plots import accuracy_by_ratio

SETTINGS = options.SETTINGS["notebook"]
RATIOS = options.RATIOS["notebook"]

_INTRODUCTION = """\
Accuracy in % on the views of the test images; mixed is their mean. Each image of the pool is seen in one view (clean,
blur or rotation); noise is never trained on. Mean ± sd over the seeds: each draws pool, labels, views, weights and
batches anew, the same for every arm. The test was opened once per arm and seed."""
_CAUTION = """\
In italics what the notebook printed: one run a ratio, on 20,000 of the 40,000 test views, with the test looked at
after every epoch. Its “after” was trained on the true labels of all images (a leak), so it says nothing about
pseudo-labels."""


def markdown(report: SweepReport) -> str:
    """Return the table as markdown."""
    views = list(report.rows[0].views)
    parts = [
        "# The notebook's task",
        f"{_INTRODUCTION} {pool_line(report)}",
        grid(["ratio", "labels", "arm", *views, "mixed", "minutes a run"], _lines(report, views), left=("arm",)),
        _CAUTION,
        *gains(report, "mixed accuracy", {ratio: f"ratio {ratio:g}" for ratio in report.settings.ratios}),
        sweep_provenance(report),
    ]
    return "\n\n".join(parts) + "\n"


def figure(report: SweepReport) -> Figure:
    """Return mixed accuracy against labelled ratio, the notebook's numbers beside it."""
    return accuracy_by_ratio(report)


def _lines(report: SweepReport, views: list[str]) -> list[list[str]]:
    lines = []
    for row in report.rows:
        if row.arm == report.settings.arms[0] and row.ratio in NOTEBOOK:
            for when, printed in zip(("before", "“after”"), NOTEBOOK[row.ratio], strict=True):
                lines.append([f"{row.ratio:g}", "", f"*notebook, {when}*", *("" for _ in views), f"{printed:.2f}", ""])
        results = [r["arms"][row.arm]["views"] for r in report.results if np.isclose(r["config"]["ratio"], row.ratio)]
        by_view = [[numbers[view] for numbers in results] for view in views]
        cells = [mean_sd(float(np.mean(v)), float(np.std(v, ddof=1)) if len(v) > 1 else None) for v in by_view]
        texts = [row.arm, *cells, mean_sd(row.mean, row.sd)]
        texts = [f"**{text}**" if row.arm == AFTER else text for text in texts]
        minutes = report.times[f"ratio {row.ratio:g}, {row.arm}"] / 60
        lines.append([f"{row.ratio:g}", f"{row.labels:,}", *texts, f"{minutes:.1f}{run_mark(report, row.arm)}"])
    return lines
