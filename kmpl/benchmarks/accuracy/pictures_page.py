"""The benchmark on folders of pictures as markdown and as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kmpl.benchmarks.accuracy.pictures import BASELINE, OURS, Outcome
from kmpl.benchmarks.provenance import sessions_provenance
from kmpl.reports.figures import COLOURS, bare, canvas
from kmpl.reports.sweep_page import grid

_INTRODUCTION = """\
Accuracy in % on all images without a label, mean ± sd over the draws of labels; *gain* is that of logistic regression
on the same features and labels taken off, in points, with its worst draw. *Written*: the share of these images whose
label `kmpl label` writes by default, how many of the written labels are right, and how many it expected to be.
*Calibration*: expected calibration error over all images, ten bins. The features are those of a frozen backbone."""


def markdown(outcomes: Sequence[Outcome], parts: Sequence[Mapping[str, str]]) -> str:
    """Return the table of each folder as markdown."""
    texts = ["# Pictures", _INTRODUCTION]
    header = ["labels a class", "arm", "accuracy", "gain", "worst", "calibration", "written", "right", "expected"]
    for folder in dict.fromkeys(outcome.folder for outcome in outcomes):
        ours = [outcome for outcome in outcomes if outcome.folder == folder]
        rows = []
        for n in dict.fromkeys(outcome.per_class for outcome in ours):
            for arm in dict.fromkeys(outcome.arm for outcome in ours):
                rows.append(_row([o for o in ours if (o.per_class, o.arm) == (n, arm)], ours))
        texts += [f"## {folder}", grid([*header, "seconds"], rows, left=("arm",)), _kept(ours)]
    return "\n\n".join([*(text for text in texts if text), sessions_provenance(parts)]) + "\n"


def _row(group: Sequence[Outcome], everything: Sequence[Outcome]) -> list[str]:
    first = group[0]
    gains = gains_of(group, everything)
    is_baseline = first.arm == BASELINE or not len(gains)
    return [
        str(first.per_class),
        first.arm,
        _mean_sd([outcome.accuracy for outcome in group]),
        "" if is_baseline else f"{100 * gains.mean():+.1f}",
        "" if is_baseline else f"{100 * gains.min():+.1f}",
        _mean([outcome.calibration for outcome in group]),
        _mean([outcome.coverage for outcome in group]),
        _mean([outcome.written for outcome in group]),
        _mean([outcome.promised for outcome in group]),
        f"{np.mean([outcome.seconds for outcome in group]):.1f}",
    ]


def gains_of(group: Sequence[Outcome], everything: Sequence[Outcome]) -> np.ndarray:
    """Return accuracy less that of logistic regression on the same draw, a fraction, of each draw that has both."""
    baseline = {(o.per_class, o.seed): o.accuracy for o in everything if o.arm == BASELINE}
    draws = [(o, baseline.get((o.per_class, o.seed))) for o in group]
    return np.array([outcome.accuracy - base for outcome, base in draws if base is not None])


def _kept(outcomes: Sequence[Outcome]) -> str:
    """Return in how many draws the promise of the labels that kmpl writes was kept."""
    pairs = [(o.written, o.promised) for o in outcomes if o.arm == OURS]
    gaps = np.array([written - promised for written, promised in pairs if written is not None and promised is not None])
    if not len(gaps):
        return ""
    near = int((gaps >= -0.03).sum())
    return f"In {near} of {len(gaps)} draws as many of the written labels are right as was expected, less 3 points."


def _mean_sd(values: Sequence[float]) -> str:
    several = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{several}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * np.mean(known):.1f}" if known else ""


def figure(outcomes: Sequence[Outcome]) -> Figure:
    """Return the accuracy of each arm by labels a class, a panel for each folder."""
    folders = list(dict.fromkeys(outcome.folder for outcome in outcomes))
    drawn, axes = canvas(1, len(folders), 5.2 * len(folders), 4.2)
    for panel, folder in zip(axes[0], folders, strict=True):
        ours = [outcome for outcome in outcomes if outcome.folder == folder]
        numbers = list(dict.fromkeys(outcome.per_class for outcome in ours))
        for colour, arm in zip(COLOURS, dict.fromkeys(outcome.arm for outcome in ours), strict=False):
            means = [100 * np.mean([o.accuracy for o in ours if (o.arm, o.per_class) == (arm, n)]) for n in numbers]
            panel.plot(range(len(numbers)), means, "o-", color=colour, label=arm, linewidth=2.5 if arm == OURS else 1.2)
        panel.set_xticks(range(len(numbers)), [str(n) for n in numbers])
        panel.legend(frameon=False, fontsize=8)
        bare(panel, folder, "labels a class", "accuracy on all other images (%)")
    return drawn
