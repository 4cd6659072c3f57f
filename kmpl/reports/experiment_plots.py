"""Figures of one experiment: from a report to matplotlib figures. Shapes: N images, C classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kmpl.datasets.types import UNLABELLED
from kmpl.method.results import ArmReport, Clusters, Report, Round
from kmpl.reports.feature_map import feature_map
from kmpl.reports.figures import COLOURS, MAIN_ARM, bare, canvas
from kmpl.training import metrics
from kmpl.training.history import Epoch, Fit

_GAP = 3  # pixels between the images of a gallery


def _main_arm(report: Report) -> ArmReport | None:
    """Return the arm to compare with labelled-only: pseudo-label, or else the first arm with rounds."""
    arms = report.arms
    return arms.get(MAIN_ARM) or next((arm for arm in arms.values() if arm.rounds), None)


def _labelled_only_arm(report: Report) -> ArmReport | None:
    return report.arms.get("labelled-only")


def curves(before: Fit, after: Fit, name: str) -> Figure:
    """Return loss and accuracy against epochs, before and after pseudo-labelling: eight curves.

    The reference notebook plotted the test set; here it is validation, because training never sees the test set.
    """
    figure, axes = canvas(2, 2, 9, 6)
    for column, (title, fit) in enumerate([("before: labelled only", before), (f"after: {name}, last round", after)]):
        _curve(axes[0, column], fit.history, "accuracy")
        bare(axes[0, column], title, y="accuracy")
        _curve(axes[1, column], fit.history, "loss")
        bare(axes[1, column], "", x="epoch", y="cross-entropy (nats)")
    for row in axes:  # the same scale on both sides, so that the curves can be compared
        low = min(a.get_ylim()[0] for a in row)
        high = max(a.get_ylim()[1] for a in row)
        for a in row:
            a.set_ylim(low, high)
    axes[0, 0].legend(loc="lower right", frameon=False)
    return figure


def _curve(axes: Axes, history: Sequence[Epoch], metric: str) -> None:
    epochs = [e.number for e in history]
    marker = "o" if len(epochs) < 30 else None
    axes.plot(epochs, [getattr(e, metric) for e in history], color=COLOURS[0], marker=marker, ms=3, label="training")
    validation = [getattr(e, f"validation_{metric}") for e in history]
    axes.plot(epochs, validation, color=COLOURS[5], marker=marker, ms=3, ls="--", label="validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def confusions(tables: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Return confusion matrices side by side: rows are true classes, in per cent; the diagonal stays pale.

    Args:
        tables: (C, C) counts, rows true, columns predicted, by title.
        classes: names of the C classes.
    """
    figure, axes = canvas(1, len(tables), 5.6 * len(tables), 5.2)
    shares = [100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1) for table in tables.values()]
    darkest = max(2.0, *(float((share - np.diag(np.diag(share))).max()) for share in shares))
    for a, title, share in zip(axes[0], tables, shares, strict=True):
        a.imshow(share - np.diag(np.diag(share)), cmap="Blues", vmin=0, vmax=darkest)
        _numbers(a, share, darkest)
        a.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
        a.set_yticks(range(len(classes)), classes)
        bare(a, title, "predicted class", "true class")
    return figure


def _numbers(axes: Axes, share: np.ndarray, darkest: float) -> None:
    if len(share) > 20:  # more numbers would be unreadable
        return
    for i, j in zip(*np.nonzero(share >= 0.05), strict=True):
        value = share[i, j]
        right = i == j
        colour = "white" if value > 0.6 * darkest and not right else "black"
        text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "weight": "bold" if right else "normal"}
        axes.text(j, i, f"{value:.1f}", color=colour, **text)


def gallery(
    round_: Round, clusters: Clusters, images: np.ndarray, classes: Sequence[str], rows: int = 12, columns: int = 10
) -> Figure:
    """The images nearest to the centroids of evenly spaced clusters (by size), with each cluster's vote.

    Args:
        round_: the round to show.
        clusters: what it clustered.
        images: (N, height, width) or (N, height, width, 3), uint8.
        classes: names.
        rows: clusters shown, at most.
        columns: images per cluster.
    """
    order = np.argsort(-clusters.sizes, kind="stable")
    picked = order[np.unique(np.linspace(0, len(order) - 1, min(rows, len(order))).astype(int))]
    figure, axes = canvas(1, 1, columns * 0.8 + 1.6, len(picked) * 0.8)
    pseudo = round_.pseudo_labels
    height = images.shape[1] + _GAP
    width = images.shape[2] + _GAP
    ground = 0 if images.ndim == 3 else 255  # white, in either case
    sheet = np.full((len(picked) * height, columns * width, *images.shape[3:]), ground, dtype=np.uint8)
    for row, k in enumerate(picked):
        members = np.flatnonzero(clusters.assignment == k)
        distance = np.square(round_.features[members] - clusters.centroids[k]).sum(axis=1)
        nearest = members[np.argsort(distance, kind="stable")[:columns]]
        for column, i in enumerate(nearest):
            y = row * height
            x = column * width
            sheet[y : y + images.shape[1], x : x + images.shape[2]] = images[i]
        named = pseudo.guesses[members]
        votes = np.bincount(named[named != UNLABELLED], minlength=len(classes))
        winner = classes[int(votes.argmax())] if votes.any() else "none"
        text = f"vote {winner}\n{len(members)} images, {np.mean(pseudo.kept[members]):.0%} kept"
        axes[0, 0].text(-2 * _GAP, (row + 0.5) * height, text, ha="right", va="center", fontsize=8)
    # One picture of all: axes of its own for each image would take longer than the training of a small experiment.
    axes[0, 0].imshow(sheet, cmap="gray_r" if images.ndim == 3 else None, vmin=0, vmax=255)
    axes[0, 0].set_axis_off()
    figure.suptitle("images nearest to the centroids, large clusters first", fontsize=10)
    return figure


def coverage(arms: Mapping[str, Sequence[Round]]) -> Figure:
    """Return the accuracy of pseudo-labels against their coverage, by round; a dot marks the threshold."""
    figure, axes = canvas(1, len(arms), 5.2 * len(arms), 4.2)
    lowest = 1.0
    for a, (arm, rounds) in zip(axes[0], arms.items(), strict=True):
        for round_, colour in zip(rounds, COLOURS * 10, strict=False):
            share, accuracy = metrics.coverage_curve(round_.diagnostics.right, round_.diagnostics.confidence)
            start = len(share) // 50  # the first points stand for one image each: noise
            a.plot(100 * share[start:], 100 * accuracy[start:], color=colour, label=f"round {round_.number}")
            a.plot(100 * round_.diagnostics.coverage, 100 * round_.diagnostics.accuracy, "o", color=colour)
            lowest = min(lowest, float(accuracy[start:].min()))
        bare(a, f"{arm}: pseudo-labels", "unlabelled images kept (%)", "right (%)")
        a.legend(frameon=False, loc="lower left")
    for a in axes[0]:
        a.set_ylim(100 * lowest - 0.3, 100.1)
    return figure


def views(report: Report) -> Figure:
    """Return the test accuracy per view and arm; the title says that the axis does not start at 0."""
    arms = list(report.arms.values())
    names = list(arms[0].evaluation.views)
    figure, axes = canvas(1, 1, 2.6 + 1.4 * len(names) * max(1, len(arms) / 2), 4.2)
    a = axes[0, 0]
    width = 0.8 / len(arms)
    for i, arm in enumerate(arms):
        heights = [100 * arm.evaluation.views[name] for name in names]
        bars = a.bar(
            np.arange(len(names)) + (i - (len(arms) - 1) / 2) * width,
            heights,
            width * 0.94,
            color=COLOURS[i],
            label=arm.arm,
        )
        a.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    low = min(min(arm.evaluation.views.values()) for arm in arms)
    a.set_ylim(max(0, 100 * low - max(1.0, 20 * (1 - low))), 100)
    a.set_xticks(range(len(names)), names)
    bare(a, "test accuracy per view (the axis does not start at 0)", y="right (%)")
    figure.legend(loc="outside lower center", ncols=len(arms), frameon=False)
    return figure


def all_figures(report: Report) -> dict[str, Figure]:
    """Return every figure that the report has the numbers for, by name."""
    before = _labelled_only_arm(report)
    after = _main_arm(report)
    classes = report.pool.classes
    shown = [a for a in (before, after) if a] or list(report.arms.values())[:2]
    titles = {arm.arm: f"{arm.arm}: {100 * arm.evaluation.accuracy:.2f} % of the test right" for arm in shown}
    tables = {titles[arm.arm]: arm.evaluation.confusion for arm in shown}
    figures = {"views": views(report), "confusion": confusions(tables, classes)}
    rounds = {name: arm.rounds for name, arm in report.arms.items() if arm.rounds}
    if rounds:
        figures["coverage"] = coverage(rounds)
    if after and after.pretrained:
        figures["curves"] = curves(after.pretrained, after.fit, after.arm)
    if after and after.rounds:
        figures |= _round_figures(report, after.rounds[-1])
    return figures


def _round_figures(report: Report, round_: Round) -> dict[str, Figure]:
    pool = report.pool
    right = np.ones(len(pool.labels), dtype=bool)
    right[~pool.labelled] = round_.diagnostics.right
    figures = {"features": feature_map(round_, labels=pool.labels, right=right, classes=pool.classes)}
    if round_.pseudo_labels.clusters:
        images = pool.images.permute(0, 2, 3, 1).numpy()
        images = images[..., 0] if images.shape[-1] == 1 else images
        clusters = round_.pseudo_labels.clusters
        figures["clusters"] = gallery(round_, clusters, images, pool.classes)
    return figures
