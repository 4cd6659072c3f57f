"""Figures: all are there, and they show the numbers of the report."""

import re
from pathlib import Path

import numpy as np
import pytest

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.results import Report
from kmpl.method.step_interface import Steps
from kmpl.reports import experiment_plots, figures
from kmpl.training import metrics

pytestmark = pytest.mark.usefixtures("few_test_images")


@pytest.fixture(scope="module")
def report(tiny: ExperimentConfig) -> Report:
    config = merge(tiny, {"protocol": "notebook", "arms": "labelled-only,pseudo-label"})
    return experiment.run(config, Steps(evaluate=evaluate))


def test_every_figure_is_drawn_and_saved(report: Report, tmp_path: Path) -> None:
    figures = experiment_plots.all_figures(report)
    assert figures.keys() == {"curves", "confusion", "features", "clusters", "coverage", "views"}
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_the_gallery_shows_the_members_nearest_to_their_centroids(report: Report) -> None:
    turn, images = report.arms["pseudo-label"].rounds[-1], report.pool.images[:, 0].numpy()
    clusters = turn.pseudo_labels.clusters
    assert clusters is not None
    [axes] = experiment_plots.gallery(turn, clusters, images, report.pool.classes, rows=3).axes
    sheet = np.asarray(axes.images[0].get_array())
    largest = np.flatnonzero(clusters.assignment == clusters.sizes.argmax())
    distance = np.square(turn.features[largest] - clusters.centroids[clusters.sizes.argmax()]).sum(axis=1)
    first, second = images[largest[np.argsort(distance, kind="stable")[:2]]]
    side, step = len(first), sheet.shape[1] // 10
    assert np.array_equal(sheet[:side, :side], first)
    assert np.array_equal(sheet[:side, step : step + side], second)
    assert len(axes.texts) == 3
    assert f"{len(largest)} images" in axes.texts[0].get_text()


def test_curves_are_the_notebooks_eight(report: Report) -> None:
    arm = report.arms["pseudo-label"]
    assert arm.pretrained is not None
    lines = [line for axes in experiment_plots.curves(arm.pretrained, arm.fit, "x").axes for line in axes.lines]
    assert len(lines) == 8
    drawn = {tuple(np.asarray(line.get_ydata())) for line in lines}
    for fit in (arm.pretrained, arm.fit):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            assert tuple(getattr(epoch, name) for epoch in fit.history) in drawn


def test_views_has_a_bar_for_each_view_and_arm(report: Report) -> None:
    heights = sorted(bar.get_height() for bar in experiment_plots.views(report).axes[0].patches)  # type: ignore[attr-defined]
    expected = sorted(100 * v for arm in report.arms.values() for v in arm.evaluation.views.values())
    assert heights == pytest.approx(expected)


def test_confusion_shows_the_rows_in_per_cent_on_one_scale(report: Report) -> None:
    arms = [report.arms["labelled-only"], report.arms["pseudo-label"]]
    figure = experiment_plots.confusions({arm.arm: arm.evaluation.confusion for arm in arms}, report.pool.classes)
    assert len({axes.images[0].get_clim() for axes in figure.axes}) == 1
    table = arms[0].evaluation.confusion
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert f"{100 * table[3, 3] / table[3].sum():.1f}" in shown


def test_the_dot_on_the_coverage_curve_is_what_was_kept(report: Report) -> None:
    arm = report.arms["pseudo-label"]
    dots = [line for line in experiment_plots.coverage({arm.arm: arm.rounds}).axes[0].lines if line.get_marker() == "o"]
    for turn, dot in zip(arm.rounds, dots, strict=True):
        assert dot.get_xdata() == [100 * turn.diagnostics.coverage]
        share, accuracy = metrics.coverage_curve(turn.diagnostics.right, turn.diagnostics.confidence)
        kept = int(turn.pseudo_labels.assigned) - 1
        assert share[kept] == pytest.approx(turn.diagnostics.coverage)
        assert accuracy[kept] == pytest.approx(turn.diagnostics.accuracy)


@pytest.mark.parametrize(("low", "high", "least"), [(0.012, 0.5, 4), (0.81, 0.904, 2), (3.0, 3.1, 2), (1, 70_000, 8)])
def test_a_logarithmic_axis_has_plain_numbers_whatever_it_spans(low: float, high: float, least: int) -> None:
    figure, axes = figures.canvas(1, 1, 4, 3)
    axes[0, 0].plot([1, 2], [low, high])
    axes[0, 0].set_yscale("log")
    figures.logarithmic(axes[0, 0].yaxis)
    figure.draw_without_rendering()
    bottom, top = axes[0, 0].get_ylim()
    seen = [t.get_text() for t in axes[0, 0].get_yticklabels() if bottom <= t.get_position()[1] <= top]
    assert len(seen) >= least
    assert all(re.fullmatch(r"[\d,.]+", text) for text in seen), "no powers of ten"


def test_an_experiment_of_one_arm_still_has_figures(tiny: ExperimentConfig) -> None:
    report = experiment.run(merge(tiny, {"arms": "oracle"}), Steps(evaluate=evaluate))
    assert experiment_plots.all_figures(report).keys() == {"views", "confusion"}
