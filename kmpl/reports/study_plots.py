"""Figures of tuning: of one trial, and of all trials of a study together."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kmpl.datasets.types import Pool
from kmpl.method.results import Round
from kmpl.reports.experiment_plots import confusions, coverage
from kmpl.reports.figures import COLOURS, bare, canvas
from kmpl.reports.studies import StudyRecord
from kmpl.training import metrics

_GREY = "#808080"  # legible on white and on black
_COLOUR_MAP = "viridis"


def of_trial(pool: Pool, probabilities: np.ndarray, rounds: Sequence[Round], arm: str) -> dict[str, Figure]:
    """Return a trial's figures: confusion on validation, and accuracy against coverage.

    Args:
        pool: with V validation images of C classes.
        probabilities: (V, C) class probabilities of them by the trial's network.
        rounds: of pseudo-labelling; empty for labelled-only, where the network's confidence takes their place.
        arm: labelled-only or pseudo-label.
    """
    predicted = probabilities.argmax(axis=1)
    right = predicted == pool.validation_labels
    table = metrics.confusion(predicted, pool.validation_labels, len(pool.classes))
    title = f"{100 * right.mean():.2f} % of {len(right):,} validation images right"
    against_coverage = coverage({arm: rounds}) if rounds else _confidence(right, probabilities.max(axis=1))
    return {"confusion": confusions({title: table}, pool.classes), "accuracy_against_coverage": against_coverage}


def _confidence(right: np.ndarray, confidence: np.ndarray) -> Figure:
    figure, axes = canvas(1, 1, 5.2, 4.2)
    share, accuracy = metrics.coverage_curve(right, confidence)
    axes[0, 0].plot(100 * share, 100 * accuracy, color=COLOURS[0])
    bare(axes[0, 0], "the most confident first", "validation images kept (%)", "right (%)")
    return figure


def of_study(study: StudyRecord) -> dict[str, Figure]:
    """Return the figures of a study: history, parallel coordinates and, if there are enough trials, importances."""
    figures = {"history": history(study), "parallel_coordinates": parallel_coordinates(study)}
    return figures | ({"importances": importances(study)} if study.importances else {})


def history(study: StudyRecord) -> Figure:
    """Return the validation accuracy of each trial in the order of the trials, and the best so far."""
    figure, axes = canvas(1, 1, 6.5, 3.6)
    a = axes[0, 0]
    complete = [trial for trial in study.trials if trial.state == "complete"]
    end = max((trial.number + 1 for trial in study.trials), default=0)
    numbers = range(min((trial.number for trial in complete), default=end), end)
    best = [100 * max(t.value or 0.0 for t in complete if t.number <= number) for number in numbers]
    a.step(numbers, best, where="post", color=COLOURS[0], lw=1, label="best so far")
    for state, marker, colour in (("complete", "o", COLOURS[0]), ("pruned", "x", _GREY)):
        group = [t for t in study.trials if t.state == state and t.value is not None]
        if group:
            values = [100 * (t.value or 0.0) for t in group]
            a.plot([t.number for t in group], values, marker, ms=5, color=colour, label=state)
    low = min((t.value or 0.0 for t in complete), default=0.0)
    a.set_ylim(100 * (low - 0.1 * (1 - low)) - 0.3, None)  # trials that were pruned early lie far below
    a.xaxis.set_major_locator(MaxNLocator(integer=True))
    a.legend(frameon=False, fontsize=8, loc="lower right")
    bare(a, f"{study.arm}, ratio {study.ratio:g}: history", "trial", "right on validation (%)")
    return figure


def importances(study: StudyRecord) -> Figure:
    """Return the importance of each setting for the result."""
    figure, axes = canvas(1, 1, 6.5, 0.9 + 0.34 * len(study.importances))
    a = axes[0, 0]
    names = sorted(study.importances, key=lambda name: study.importances[name])
    bars = a.barh(names, [100 * study.importances[name] for name in names], color=COLOURS[0])
    a.bar_label(bars, fmt="%.0f", fontsize=8, padding=2)
    bare(a, f"{study.arm}, ratio {study.ratio:g}: importance of each setting", "share (%, PED-ANOVA)")
    return figure


def parallel_coordinates(study: StudyRecord) -> Figure:
    """Return each complete trial as a line through its values; a lighter line is better, the dashed one is untuned."""
    names = list(study.space)
    figure, axes = canvas(1, 1, max(6.5, 1.55 * len(names) + 1.5), 3.9)
    a = axes[0, 0]
    complete = [trial for trial in study.trials if trial.state == "complete"]
    order = sorted(complete, key=lambda trial: trial.value or 0.0)
    for rank, trial in enumerate(order):
        shade = colormaps[_COLOUR_MAP](rank / max(1, len(order) - 1) * 0.9)
        is_winner = trial.number == study.winner
        if trial.params == study.start and not is_winner:
            continue  # drawn as the dashed line: another line would fill the gaps of its dashes
        style = {"color": COLOURS[5], "lw": 2.4, "zorder": 3} if is_winner else {"color": shade, "lw": 1, "zorder": 2}
        a.plot(_heights(study, trial.params), **style)
    a.plot(_heights(study, study.start), color=_GREY, lw=1.4, ls="--", zorder=4)
    for x, name in enumerate(names):
        low, high, _ = study.space[name]
        a.axvline(x, color=_GREY, lw=0.6, zorder=1)
        for height, end, side in ((-0.03, low, "top"), (1.03, high, "bottom")):
            a.annotate(f"{end:.3g}", (x, height), ha="center", va=side, fontsize=8, annotation_clip=False)
    a.set_xticks(range(len(names)), [name.replace(".", ".\n") for name in names], fontsize=8)
    a.tick_params(axis="x", length=0, pad=14)
    a.set_yticks([])
    a.set_ylim(-0.02, 1.02)
    bare(a, "", "")
    a.spines[["left", "bottom"]].set_visible(False)
    ends = f" ({100 * (order[0].accuracy or 0):.2f} to {100 * (order[-1].accuracy or 0):.2f} %)" if order else ""
    title = f"{study.arm}, ratio {study.ratio:g}: complete trials, the lighter the better{ends}"
    a.set_title(f"{title}\nthick: the winner, dashed: untuned", fontsize=10, loc="left", pad=18)
    return figure


def _heights(study: StudyRecord, values: dict[str, float]) -> list[float]:
    """Return where a line crosses each axis: 0 = the setting's lowest value, 1 = its highest."""
    heights = []
    for name, (low, high, log) in study.space.items():
        ends = np.array([low, high, values[name]], dtype=float)
        low, high, value = np.log(ends) if log else ends
        heights.append(float((value - low) / (high - low)) if high > low else 0.5)
    return heights
