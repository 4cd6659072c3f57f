"""The benchmark of one and two labels a class as markdown and as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kmpl.benchmarks.accuracy.fewest import WAYS, Draw
from kmpl.benchmarks.provenance import mean_sd_of, sessions_provenance
from kmpl.config.experiment import AFTER, BEFORE
from kmpl.reports.figures import COLOURS, bare, canvas, logarithmic
from kmpl.reports.findings import difference
from kmpl.reports.statistics import paired
from kmpl.reports.sweep_page import grid

_INTRODUCTION = """\
Error in % on the clean test images, mean ± sd over the seeds, and of each seed. *At random*: as many of each class,
which only those can draw who know all classes beforehand. *Suggested*: the images nearest to the centroids of features
learnt without any label, as `kmpl suggest` chooses them; nobody knows beforehand which classes they meet. All labels
are trained on, none is kept for validation."""


def markdown(draws: Sequence[Draw], parts: Sequence[Mapping[str, str]]) -> str:
    """Return the table as markdown."""
    groups = _groups(draws)
    rows = [
        [
            f"{labels} {way}",
            *(mean_sd_of([d.errors[arm] for d in group]) for arm in (BEFORE, AFTER)),
            ", ".join(f"{100 * d.errors[AFTER]:.2f}" for d in group),
            ", ".join(str(d.classes) for d in group),
            f"{np.mean([d.seconds for d in group]) / 60:.1f}",
        ]
        for (labels, way), group in groups.items()
    ]
    gains = []
    for labels in dict.fromkeys(d.labels for d in draws):
        values = [[1 - d.errors[AFTER] for d in groups.get((labels, way), [])] for way in WAYS]
        if all(values) and len(values[0]) == len(values[1]):
            gains.append(f"- {labels} labels: {difference(paired(0.0, *values))}")
    texts = [
        "# The fewest labels",
        _INTRODUCTION,
        grid(["labels", BEFORE, AFTER, f"{AFTER}, each seed", "classes met", "minutes a run"], rows, left=("labels",)),
        "suggested − at random, accuracy of pseudo-label, seed by seed:\n\n" + "\n".join(gains),
        sessions_provenance(parts),
    ]
    return "\n\n".join(texts) + "\n"


def figure(draws: Sequence[Draw]) -> Figure:
    """Return the error of each seed, before and after, on a logarithmic scale."""
    drawn, axes = canvas(1, 1, 8, 4.2)
    a = axes[0, 0]
    groups = _groups(draws)
    for colour, arm in zip(COLOURS, (BEFORE, AFTER), strict=False):
        for position, group in enumerate(groups.values()):
            errors = [100 * d.errors[arm] for d in group]
            a.plot([position] * len(errors), errors, "o", color=colour, alpha=0.6, label=arm if position == 0 else None)
            a.plot([position - 0.2, position + 0.2], [np.mean(errors)] * 2, color=colour)
    a.set_yscale("log")
    logarithmic(a.yaxis)
    a.set_xticks(range(len(groups)), [f"{labels}, {way}" for labels, way in groups])
    a.margins(x=0.1)
    a.legend(frameon=False, fontsize=9)
    bare(a, "error on the clean test: each seed, and the mean", "labels", "error (%)")
    return drawn


def _groups(draws: Sequence[Draw]) -> dict[tuple[int, str], list[Draw]]:
    """Return the draws by number of labels and way."""
    return {(d.labels, d.way): [e for e in draws if (e.labels, e.way) == (d.labels, d.way)] for d in draws}
