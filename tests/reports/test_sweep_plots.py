"""Figures of a sweep: they show the report's numbers, and nothing in them hides anything else."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kmpl.config.experiment import Method, PoolSettings
from kmpl.config.sweep import SweepConfig
from kmpl.reports import sweep_plots
from kmpl.reports.comparison import SweepReport, compare

Invent = Callable[..., list[dict[str, Any]]]
Words = Callable[[Figure], list[Text]]
ALL = ("labelled-only", "pseudo-label", "notebook", "self-training", "label-spreading", "oracle")
LITERATURE = Method(protocol="literature")
CASES: dict[str, dict[str, Any]] = {
    "as usual": {"seeds": (0, 1, 2)},
    "one seed": {},
    "one ratio": {"ratios": (0.1,), "seeds": (0, 1)},
    "one arm": {"arms": ("oracle",), "seeds": (0, 1)},
    "six arms": {"arms": ALL, "seeds": (0, 1, 2)},
    "nine ratios": {"ratios": (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8), "arms": ALL, "seeds": (0, 1, 2)},
    "six arms, literature": {"arms": ALL, "seeds": (0, 1, 2), "experiment": LITERATURE},
    "one of everything": {"ratios": (0.3,), "arms": ("pseudo-label",)},
}


def made(invented: Invent, **settings: Any) -> SweepReport:
    config = SweepConfig(**settings)
    return compare(config, invented(config))


@pytest.mark.parametrize("name", [*CASES, "tuned"])
def test_no_words_overlap_or_leave_the_figure(
    invented: Invent, name: str, tuned_report: SweepReport, words: Words
) -> None:
    report = tuned_report if name == "tuned" else made(invented, **CASES[name])
    for figure in sweep_plots.all_figures(report).values():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        places = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in words(figure)]
        for text, box in places:
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.width, text
            assert box.y1 <= figure.bbox.height, text
        for (one, box), (other, its) in itertools.combinations(places, 2):
            assert not box.overlaps(its), (one, other)


def close_up(report: SweepReport) -> Axes:
    return sweep_plots.accuracy_by_ratio(report).axes[-1]


def test_means_intervals_and_seeds_are_the_reports(invented: Invent) -> None:
    report = made(invented, seeds=(0, 1, 2), arms=ALL)
    axes = close_up(report)
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    ends = [segment[:, 1] for bars in axes.containers for segment in bars.lines[2][0].get_segments()]  # type: ignore[attr-defined]
    dots = {tuple(np.asarray(line.get_ydata())) for line in axes.lines if line.get_marker() == "."}
    for arm in ALL:
        rows = sorted((row for row in report.rows if row.arm == arm), key=lambda row: row.ratio)
        assert drawn[arm] == pytest.approx([100 * row.mean for row in rows])
        for row in rows:
            assert row.low is not None
            assert row.high is not None
            assert any(np.allclose(end, [100 * row.low, 100 * row.high]) for end in ends)
            seeds = [r["arms"][arm]["test_accuracy"] for r in report.results if r["config"]["ratio"] == row.ratio]
            assert tuple(100 * np.array(seeds)) in dots


def test_arms_at_one_ratio_stand_side_by_side(invented: Invent) -> None:
    axes = close_up(made(invented, ratios=(0.4, 0.1), arms=ALL))
    places = np.sort([line.get_xdata() for line in axes.lines if line.get_label() in ALL], axis=0)
    assert places.shape == (6, 2)
    assert np.diff(places, axis=0).min() > 0.05
    assert places[-1, 0] < places[0, 1] - 0.05


def test_an_arm_looks_the_same_whatever_the_others_are(invented: Invent) -> None:
    looks = []
    for arms in (ALL, ("oracle", "pseudo-label"), ("pseudo-label",)):
        lines = {line.get_label(): line for line in close_up(made(invented, arms=arms)).lines}
        looks.append((lines["pseudo-label"].get_color(), lines["pseudo-label"].get_marker()))
    assert len(set(looks)) == 1


def values(report: SweepReport) -> set[str]:
    figure = sweep_plots.accuracy_by_ratio(report)
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_the_notebooks_numbers_are_marked_and_called_what_they_are(invented: Invent, words: Words) -> None:
    report = made(invented)
    assert values(report) == {"47.27", "83.48", "86.39", "89.91", "91.77", "80.62"}
    said = " ".join(text.get_text() for text in words(sweep_plots.accuracy_by_ratio(report)))
    assert "“after” (true labels)" in said
    assert "one run a ratio, test images of its own choice" in said
    first = sweep_plots.accuracy_by_ratio(report).axes[0]
    marks = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in first.lines}
    assert marks["reference notebook, before"] == [47.27, 83.48, 86.39]
    assert marks["reference notebook, “after” (true labels)"] == [89.91, 91.77, 80.62]


def test_only_ratios_that_the_notebook_measured_are_marked(invented: Invent) -> None:
    assert values(made(invented, ratios=(0.1, 0.2))) == {"47.27", "89.91"}


@pytest.mark.parametrize(
    "settings",
    [
        {"experiment": LITERATURE},
        {"experiment": Method(dataset="FashionMNIST")},
        {"experiment": Method(pool=PoolSettings(size=10_000))},
        {"ratios": (0.2, 0.3)},
    ],
    ids=["protocol", "data", "fewer labels", "ratios"],
)
def test_another_task_is_not_put_beside_the_notebook(invented: Invent, settings: dict[str, Any], words: Words) -> None:
    figure = sweep_plots.accuracy_by_ratio(made(invented, **settings))
    assert len(figure.axes) == 1
    assert not any("notebook" in text.get_text() for text in words(figure))


def test_gain_shows_the_paired_differences_and_zero(invented: Invent) -> None:
    report = made(invented, seeds=(0, 1, 2))
    figure = sweep_plots.gain_by_ratio(report)
    assert figure is not None
    axes = figure.axes[0]
    means = [bars.lines[0].get_ydata()[0] for bars in axes.containers]  # type: ignore[attr-defined]
    assert means == pytest.approx([100 * pair.mean for pair in reversed(report.paired)])
    ends = [bars.lines[2][0].get_segments()[0][:, 1] for bars in axes.containers]  # type: ignore[attr-defined]
    for end, pair in zip(ends, reversed(report.paired), strict=True):
        assert end == pytest.approx([100 * pair.low, 100 * pair.high])  # type: ignore[operator]
    assert any(np.array_equal(line.get_ydata(), [0, 0]) for line in axes.lines)


def test_one_seed_has_no_bars_and_says_so(invented: Invent) -> None:
    figures = sweep_plots.all_figures(made(invented))
    for figure in figures.values():
        axes = figure.axes[-1]
        assert "no interval" in axes.get_title(loc="left")
        assert not any(bars.has_yerr for bars in axes.containers)  # type: ignore[attr-defined]


def test_no_pairs_no_figure_of_gain(invented: Invent) -> None:
    report = made(invented, arms=("pseudo-label", "oracle"))
    assert sweep_plots.gain_by_ratio(report) is None
    assert sweep_plots.all_figures(report).keys() == {"accuracy_by_ratio"}
    assert sweep_plots.png_files(report).keys() == {"figures/accuracy_by_ratio.png"}


def test_pictures_are_png(invented: Invent) -> None:
    files = sweep_plots.png_files(made(invented))
    assert files.keys() == {"figures/accuracy_by_ratio.png", "figures/gain_by_ratio.png"}
    assert all(content.startswith(b"\x89PNG") and len(content) > 10_000 for content in files.values())


def test_the_gain_of_tuning_is_shown_for_each_arm_and_ratio(tuned_report: SweepReport) -> None:
    figure = sweep_plots.gain_of_tuning(tuned_report)
    assert figure
    axes = figure.axes[0]
    means = sorted(float(bar.lines[0].get_ydata()[0]) for bar in axes.containers)  # type: ignore[attr-defined]
    assert means == pytest.approx(sorted(100 * gain.test.mean for gain in tuned_report.tuned))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["labelled-only", "pseudo-label"]  # type: ignore[union-attr]


def test_without_tuning_there_is_no_figure_of_its_gain(invented: Invent) -> None:
    assert "gain_of_tuning" not in sweep_plots.all_figures(made(invented))
