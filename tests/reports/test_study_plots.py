"""Figures of tuning: they show the trials as they were, and every word of them can be read."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kmpl.config.experiment import ExperimentConfig
from kmpl.method.steps import load
from kmpl.reports import study_plots
from kmpl.reports.comparison import SweepReport
from kmpl.reports.studies import StudyRecord


@pytest.fixture(scope="module", params=[0, 1], ids=["labelled-only", "pseudo-label"])
def study(request: pytest.FixtureRequest, tuned_report: SweepReport) -> StudyRecord:
    return tuned_report.studies[request.param]


def test_no_word_leaves_its_figure_or_is_cut(study: StudyRecord, words: Callable[[Figure], list[Text]]) -> None:
    figures = study_plots.of_study(study)
    assert list(figures) == ["history", "parallel_coordinates", "importances"]
    for name, figure in figures.items():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for text in words(figure):
            box = text.get_window_extent(canvas.get_renderer())
            assert box.x0 >= -1, (name, text)
            assert box.x1 <= figure.bbox.width + 1, (name, text)
            assert box.y0 >= -1, (name, text)
            assert box.y1 <= figure.bbox.height + 1, (name, text)


def test_history_shows_each_trial_at_its_number_and_the_best_so_far(study: StudyRecord) -> None:
    lines = {line.get_label(): line for line in study_plots.history(study).axes[0].lines}
    complete = [(t.number, t) for t in study.trials if t.state == "complete"]
    assert np.asarray(lines["complete"].get_xdata()).tolist() == [i for i, _ in complete]
    assert np.asarray(lines["complete"].get_ydata()) == pytest.approx([100 * (t.value or 0) for _, t in complete])
    assert np.asarray(lines["pruned"].get_xdata()).tolist() == [6, 8]
    best = np.asarray(lines["best so far"].get_ydata())
    assert len(best) == len(study.trials)
    assert all(np.diff(best) >= 0)
    assert best[-1] == pytest.approx(97.0)


def test_lines_cross_each_axis_where_the_trial_was(study: StudyRecord) -> None:
    axes = study_plots.parallel_coordinates(study).axes[0]
    [winner] = [line for line in axes.lines if line.get_linewidth() > 2]
    [untuned] = [line for line in axes.lines if line.get_linestyle() == "--"]
    for line, values in ((winner, study.best), (untuned, study.start)):
        for height, (name, (low, high, log)) in zip(np.asarray(line.get_ydata()), study.space.items(), strict=True):
            scale = np.log if log else float
            assert height == pytest.approx((scale(values[name]) - scale(low)) / (scale(high) - scale(low)))
    shown = {text.get_text() for text in axes.texts}
    assert {f"{end:.3g}" for low, high, _ in study.space.values() for end in (low, high)} <= shown


def test_the_untuned_trial_is_dashed_and_nothing_lies_in_its_gaps(study: StudyRecord) -> None:
    first = study.trials[0].model_copy(update={"params": study.start})
    beside = study.model_copy(update={"trials": (first, *study.trials[1:])})
    lines = [
        line for line in study_plots.parallel_coordinates(beside).axes[0].lines if np.asarray(line.get_xdata()).size > 2
    ]
    dashed = [line for line in lines if line.get_linestyle() == "--"]
    assert len(lines) == study.count("complete")
    assert len(dashed) == 1


def test_a_trial_of_a_dead_process_leaves_a_gap_in_the_history(study: StudyRecord) -> None:
    later = tuple(t.model_copy(update={"number": t.number + (t.number >= 4)}) for t in study.trials)
    lines = {
        line.get_label(): line for line in study_plots.history(study.model_copy(update={"trials": later})).axes[0].lines
    }
    assert np.asarray(lines["pruned"].get_xdata()).tolist() == [7, 9]
    assert np.asarray(lines["best so far"].get_xdata()).tolist() == list(range(10))


def test_the_longest_bar_is_the_most_important_setting(study: StudyRecord) -> None:
    axes = study_plots.importances(study).axes[0]
    bars = [float(bar.get_width()) for bar in axes.patches]  # type: ignore[attr-defined]
    widths = dict(zip([label.get_text() for label in axes.get_yticklabels()], bars, strict=True))
    assert widths == pytest.approx({name: 100 * share for name, share in study.importances.items()})
    assert list(widths.values()) == sorted(widths.values())


def test_a_study_of_pruned_trials_alone_still_has_figures(study: StudyRecord) -> None:
    pruned = tuple(trial for trial in study.trials if trial.state == "pruned")
    assert study_plots.of_study(study.model_copy(update={"trials": pruned, "importances": {}}))


def test_a_trial_shows_its_confusion_and_its_coverage(tiny: ExperimentConfig) -> None:
    pool, _ = load(tiny)
    right = np.eye(10, dtype=np.float32)[pool.validation_labels]
    figures = study_plots.of_trial(pool, right, (), "labelled-only")
    assert list(figures) == ["confusion", "accuracy_against_coverage"]
    assert figures["confusion"].axes[0].get_title("left") == "100.00 % of 10 validation images right"
    [curve] = figures["accuracy_against_coverage"].axes[0].lines
    assert set(np.asarray(curve.get_ydata())) == {100.0}
