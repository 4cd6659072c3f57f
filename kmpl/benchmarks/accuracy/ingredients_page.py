"""The ablation as markdown and as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kmpl.benchmarks.accuracy.ingredients import IN, OUT, WHOLE, Outcome
from kmpl.benchmarks.provenance import mean_sd_of, sessions_provenance
from kmpl.reports.figures import COLOURS, bare, canvas, logarithmic
from kmpl.reports.findings import percent, points
from kmpl.reports.statistics import interval
from kmpl.reports.sweep_page import grid

_INTRODUCTION = """\
Error in % of the last network on training images outside the pool, mean ± sd over the seeds, and how many points of
error a change adds, seed by seed (95 % interval; below 0 it pays): MNIST, a pool of 50,000 images of which 100 are
labelled, where the command does not say otherwise. Each line changes what it says and nothing else;
three dots go on from the line above. Whoever names the images, all that it names is kept. *Right*: share of the
assigned labels that are right, round by round; *kept*: share of the unlabelled images that the last round gave a label
to. The test stays shut."""


def markdown(outcomes: Sequence[Outcome], parts: Sequence[Mapping[str, str]]) -> str:
    """Return the table as markdown."""
    groups = (("as it is", (WHOLE,)), ("taken out", tuple(OUT)), ("put in", tuple(IN)))
    rows = [
        [kind if change == changes[0] else "", *_line(outcomes, change)]
        for kind, changes in groups
        for change in changes
    ]
    texts = [
        "# What each ingredient is worth",
        _INTRODUCTION,
        grid(["", "ingredient", "error", "added", "right", "kept", "minutes"], rows, left=("", "ingredient")),
        sessions_provenance(parts),
    ]
    return "\n\n".join(texts) + "\n"


def figure(outcomes: Sequence[Outcome]) -> Figure:
    """Return each change's error, every seed a point and the mean a line, beside that of the method."""
    drawn, axes = canvas(1, 1, 9, 6.5)
    a = axes[0, 0]
    changes = [WHOLE, *OUT, *IN]
    colours = [COLOURS[0], *[COLOURS[1]] * len(OUT), *[COLOURS[2]] * len(IN)]
    for position, (change, colour) in enumerate(zip(changes, colours, strict=True)):
        errors = 100 * _errors(outcomes, change)
        a.plot(errors, [position] * len(errors), "o", color=colour, alpha=0.6)
        a.plot([errors.mean()] * 2, [position - 0.3, position + 0.3], color=colour)
    a.axvline(100 * _errors(outcomes, WHOLE).mean(), color=COLOURS[0], lw=0.6)
    a.set_xscale("log")
    logarithmic(a.xaxis)
    a.set_yticks(range(len(changes)), [WHOLE, *(f"− {name}" for name in OUT), *(f"+ {name}" for name in IN)])
    a.invert_yaxis()
    bare(a, "error outside the pool: each seed, and the mean", "error (%)", "")
    return drawn


def _errors(outcomes: Sequence[Outcome], change: str) -> np.ndarray:
    return np.array([o.error for o in outcomes if o.change == change])


def _line(outcomes: Sequence[Outcome], change: str) -> list[str]:
    seeds = [o for o in outcomes if o.change == change]
    errors = _errors(outcomes, change)
    return [
        change,
        mean_sd_of(errors.tolist()),
        "" if change == WHOLE else _added(errors - _errors(outcomes, WHOLE)),
        ", ".join(percent(right) for right in _right(seeds)) or percent(None),
        percent(float(np.mean([o.kept for o in seeds]))),
        f"{np.mean([o.seconds for o in seeds]) / 60:.1f}",
    ]


def _right(outcomes: Sequence[Outcome]) -> list[float]:
    """Return the mean of each round. A seed that ended earlier counts with its last round, whose labels had settled."""
    by_seed = [o.right for o in outcomes if o.right]
    n_rounds = max(map(len, by_seed), default=0)
    return [float(np.mean([right[min(i, len(right) - 1)] for right in by_seed])) for i in range(n_rounds)]


def _added(differences: np.ndarray) -> str:
    low, high = interval(differences.tolist())
    mean = points(float(differences.mean()))
    return mean if low is None or high is None else f"{mean} [{points(low)}, {points(high)}]"
