"""Tables of the benchmarks: the numbers of the report, beside those that were printed, and nothing made up."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kmpl.benchmarks.accuracy import literature, notebook
from kmpl.benchmarks.options import BenchmarkOptions
from kmpl.config.sweep import SweepConfig
from kmpl.reports.comparison import SweepReport, accuracies, compare
from kmpl.reports.findings import difference, percent, points
from kmpl.reports.published import LITERATURE, NOTEBOOK
from kmpl.reports.statistics import Paired

Invented = Callable[..., list[dict[str, Any]]]
ENVIRONMENT = {"command": "kmpl benchmark literature", "machine": "a laptop", "version.torch": "2.9"}


@pytest.fixture(scope="module")
def few(invented: Invented) -> SweepReport:
    """All arms, four numbers of labels of 60,000 images, five seeds; accuracies are invented."""
    own = BenchmarkOptions(ratios=literature.RATIOS, name="literature").model_dump()
    settings = SweepConfig.model_validate(own | {"experiment": literature.SETTINGS})
    summaries = invented(settings)
    for summary in summaries:
        summary["labelled"] = round(60_000 * summary["config"]["ratio"])
    return compare(settings, summaries, environment=ENVIRONMENT)


@pytest.fixture(scope="module")
def views(invented: Invented) -> SweepReport:
    """All arms, the notebook's ratios, five seeds; accuracies are invented, the same in both views of each."""
    settings = SweepConfig.model_validate(BenchmarkOptions(name="notebook").model_dump())
    summaries = invented(settings)
    for summary in summaries:
        for place, numbers in enumerate(summary["arms"].values()):
            numbers["views"] = {"clean": numbers["test_accuracy"] + 0.01, "noise": 0.5 + place / 100}
    return compare(settings, summaries, environment=ENVIRONMENT)


def cells(page: str, name: str) -> list[str]:
    """Return the cells of the line of a table that begins with a name, without emphasis."""
    [line] = [line for line in page.splitlines() if re.match(rf"\| \**{re.escape(name)}\** \|", line)]
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_the_literatures_budgets_are_the_papers(few: SweepReport) -> None:
    assert sorted({r["labelled"] for r in few.results}) == [100, 600, 1_000, 3_000]
    assert few.settings.seeds == (0, 1, 2, 3, 4)
    assert len(few.settings.arms) == 6


@pytest.mark.parametrize("arm", ["labelled-only", "pseudo-label", "oracle"])
def test_an_arms_line_is_the_error_of_its_seeds_by_rising_labels(few: SweepReport, arm: str) -> None:
    found = cells(literature.markdown(few), arm)
    for ratio, text in zip(sorted(literature.RATIOS), found[1:5], strict=True):
        errors = [1 - r["arms"][arm]["test_accuracy"] for r in few.results if r["config"]["ratio"] == ratio]
        assert text == f"{percent(float(np.mean(errors)))} ± {percent(float(np.std(errors, ddof=1)))}"
    assert float(found[5]) == pytest.approx(few.times[f"ratio 0.05, {arm}"] / 60, abs=0.051)


@pytest.mark.parametrize("which", [literature, notebook])
def test_pseudo_label_is_held_against_each_other_arm_seed_by_seed(which: Any, request: pytest.FixtureRequest) -> None:
    report: SweepReport = request.getfixturevalue("few" if which is literature else "views")
    told = re.findall(
        r"pseudo-label − (\S+), (?:mixed )?accuracy, seed by seed:\n\n((?:- .*\n)+)", which.markdown(report)
    )
    assert [rival for rival, _ in told] == ["labelled-only", "notebook", "self-training", "label-spreading"]
    lines = dict(told)["labelled-only"].splitlines()
    assert [line.split(": ")[1] for line in lines] == [difference(pair) for pair in _rising(report, which)]
    ratio = report.settings.ratios[0]
    found = [r["arms"] for r in report.results if r["config"]["ratio"] == ratio]
    over = np.mean([a["pseudo-label"]["test_accuracy"] - a["self-training"]["test_accuracy"] for a in found])
    assert f": {points(float(over))} points" in dict(told)["self-training"]


def _rising(report: SweepReport, which: Any) -> list[Paired]:
    return [*reversed(report.paired)] if which is literature else list(report.paired)


def test_published_numbers_stand_beside_ours_and_unchecked_ones_are_marked(few: SweepReport) -> None:
    page = literature.markdown(few)
    for name in LITERATURE:
        assert f"*{name}*" in page
    assert cells(page, "VAT (Miyato 2017)")[1:5] == ["1.36", "–", "1.27", "–"]
    assert cells(page, "Ladder (Rasmus 2015)")[1] == "1.06 ± 0.37"
    assert "| 4.01 * |" in page
    assert "kmpl benchmark literature" in page
    assert few.digest in page
    assert "network `cnn`, pool of " in page


def test_the_notebooks_table_has_each_view_and_its_printed_numbers(views: SweepReport) -> None:
    page = notebook.markdown(views)
    lines = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line]
    rows = {(line[0], line[2]): line for line in lines if line[0] in ("0.8", "0.4", "0.1")}
    assert len(rows) == 3 * (6 + 2)
    for ratio, (before, after) in NOTEBOOK.items():
        assert rows[f"{ratio:g}", "notebook, before"][5] == f"{before:.2f}"
        assert rows[f"{ratio:g}", "notebook, “after”"][5] == f"{after:.2f}"
    for row in views.rows:
        line = rows[f"{row.ratio:g}", row.arm]
        assert line[3].startswith(percent(row.views["clean"]))
        assert line[4] == f"{percent(row.views['noise'])} ± 0.00"
        assert line[5].startswith(percent(row.mean))


def test_the_figure_shows_each_arm_and_each_paper(few: SweepReport, words: Callable[[Figure], list[Text]]) -> None:
    figure = literature.figure(few)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = {text.get_text() for text in words(figure)}
    assert set(few.settings.arms) | set(LITERATURE) <= shown
    for text in words(figure):
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
    means = [100 * (1 - row.mean) for row in reversed(few.rows) if row.arm == "oracle"]
    drawn = [list(map(float, line.get_ydata())) for line in figure.axes[0].lines]  # type: ignore[arg-type]
    assert any(line == pytest.approx(means) for line in drawn if len(line) == len(means))
    for ratio in few.settings.ratios:
        seeds = [100 * (1 - accuracy) for accuracy in accuracies(few.results, ratio, "notebook")]
        assert any(line == pytest.approx(seeds) for line in drawn if len(line) == len(seeds))
