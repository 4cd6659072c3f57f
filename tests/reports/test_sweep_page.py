"""Pages on a sweep: they print the report's numbers, say no more than these allow, and need nothing from outside."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from kmpl.config.experiment import AFTER, BEFORE, Clustering, Method
from kmpl.config.sweep import SweepConfig
from kmpl.reports import sweep_page
from kmpl.reports.comparison import Row, SweepReport, compare
from kmpl.reports.findings import differences, finding, study_lines, tuning_gains, verdict
from kmpl.reports.statistics import Paired, paired

Invent = Callable[..., list[dict[str, Any]]]
ALL = ("labelled-only", "pseudo-label", "notebook", "self-training", "label-spreading", "oracle")
RUNS = {"ratio 0.2, seed 0": "run-a", "ratio 0.4, seed 1": "run-b"}


@pytest.fixture(scope="module")
def report(sweep_settings: SweepConfig, summaries: list[dict[str, Any]]) -> SweepReport:
    more: dict[str, Any] = {
        "environment": {"version.torch": "2.9.0", "date": "2026-01-02"},
        "champion": "version 1 is the first",
    }
    return compare(sweep_settings, summaries, runs=RUNS, run="parent", **more)


@pytest.fixture(scope="module")
def wide(invented: Invent) -> SweepReport:
    settings = SweepConfig(seeds=(0, 1, 2), arms=ALL, name="wide")
    return compare(settings, invented(settings))


def pair(mean: float, low: float | None, high: float | None, p: float | None, n: int = 5, ratio: float = 0.1) -> Paired:
    return Paired(ratio=ratio, n=n, mean=mean, low=low, high=high, p=p)


GAIN, LOSS = pair(0.0067, 0.0031, 0.0103, 0.0042), pair(-0.0067, -0.0103, -0.0031, 0.0001, ratio=0.4)
UNCLEAR, SINGLE = pair(0.0005, -0.001, 0.002, 0.41, ratio=0.8), pair(0.02, None, None, None, n=1)
EQUAL = paired(0.1, [0.3, 0.2, 0.1], [0.31, 0.21, 0.11])


def saying(report: SweepReport, *pairs: Paired) -> SweepReport:
    return report.model_copy(update={"paired": pairs})


def test_the_interval_decides_what_is_said(report: SweepReport) -> None:
    assert [verdict(p) for p in (GAIN, LOSS, UNCLEAR, SINGLE, EQUAL)] == ["gain", "loss", "unclear", "single", "equal"]
    assert finding(saying(report, GAIN)) == (
        "Adding pseudo-labels raises test accuracy: +0.67 points at labelled ratio 0.1 (95 % interval +0.31 to +1.03)."
    )
    assert "lowers test accuracy: −0.67 points at labelled ratio 0.4" in finding(saying(report, LOSS))
    assert finding(saying(report, UNCLEAR)).startswith("No gain or loss can be told from chance: +0.05 points")
    assert finding(saying(report, EQUAL)).startswith("All seeds gave the same difference, so there is nothing to test")
    assert finding(saying(report)).startswith("Before and after are not compared")
    mixed = finding(saying(report, UNCLEAR, LOSS, GAIN))
    assert mixed.index("raises") < mixed.index("; adding pseudo-labels lowers") < mixed.index("; no gain or loss")


def test_one_seed_claims_nothing(report: SweepReport) -> None:
    text = finding(saying(report, SINGLE))
    assert text.startswith("One seed, which gives no interval")
    assert "raises" not in text
    assert differences(saying(report, SINGLE)) == ["ratio 0.1: +2.00 points, 1 seed: a single seed gives no interval"]


def test_few_seeds_are_called_few(report: SweepReport) -> None:
    assert finding(report).endswith("A headline takes 5 seeds; here are 2.")
    assert "headline" not in finding(saying(report, GAIN))


def test_many_ratios_are_summed_up(report: SweepReport) -> None:
    pairs = [GAIN.model_copy(update={"ratio": n / 10, "mean": n / 1000}) for n in (8, 4, 2, 1)]
    assert finding(saying(report, *pairs)).endswith(
        "+0.10 to +0.80 points at the labelled ratios 0.8, 0.4, 0.2 and 0.1."
    )


def test_each_ratio_has_its_test(report: SweepReport) -> None:
    assert differences(saying(report, LOSS, GAIN, EQUAL)) == [
        "ratio 0.4: −0.67 points, 95 % [−1.03, −0.31], p < 0.001, 5 seeds",
        "ratio 0.1: +0.67 points, 95 % [+0.31, +1.03], p = 0.004, 5 seeds",
        "ratio 0.1: +1.00 points with each of 3 seeds: equal differences give no test",
    ]


def cells(row: Row) -> list[str]:
    """Return what a row must show, formatted here a second time."""
    shown = [f"{row.ratio}", f"{row.labels:,}", row.arm, str(row.n)]
    shown.append(f"{row.mean * 100:.2f} ± {row.sd * 100:.2f}" if row.sd is not None else f"{row.mean * 100:.2f}")
    shown.append("–" if row.low is None or row.high is None else f"{row.low * 100:.2f} to {row.high * 100:.2f}")
    return [*shown, *("–" if share is None else f"{share * 100:.2f}" for share in (row.right, row.kept))]


def printed(report: SweepReport, width: int = 80) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(sweep_page.terminal(report))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("name", ["report", "wide", "tuned_report"])
def test_the_terminal_shows_every_row_uncut_in_eighty_columns(name: str, request: pytest.FixtureRequest) -> None:
    report: SweepReport = request.getfixturevalue(name)
    lines = printed(report)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    rows = [" ".join(line.split()) for line in lines]
    for row in report.rows:
        assert " ".join(cells(row)) in rows
    for line in differences(report):
        assert f"  {line}" in lines
    assert finding(report) in " ".join(lines)


def tables(text: str) -> list[list[str]]:
    """Return the cells of all lines of a markdown text's tables."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_markdown_has_the_reports_numbers(report: SweepReport) -> None:
    text = sweep_page.markdown(report)
    lines = tables(text)
    for row in report.rows:
        assert cells(row) in lines
    for result in report.results:
        ratio, seed = result["config"]["ratio"], result["seed"]
        accuracies = [f"{100 * result['arms'][arm]['test_accuracy']:.2f}" for arm in (BEFORE, AFTER)]
        assert [f"ratio {ratio}, seed {seed}", *accuracies] in lines
    assert all(f"- {line}" in text for line in differences(report))
    assert all(said in text for said in (finding(report), report.digest, report.champion))
    assert "](" not in text


def test_markdown_links_the_runs_that_it_knows(report: SweepReport) -> None:
    text = sweep_page.markdown(report, lambda run: f"https://example.org/#/runs/{run}")
    assert "[ratio 0.2, seed 0](https://example.org/#/runs/run-a)" in text
    assert "[tiny: MNIST, literature protocol](https://example.org/#/runs/parent)" in text
    assert "| ratio 0.2, seed 1 |" in text
    assert text.count("](") == 3


def test_markdown_shows_signs_as_they_are(report: SweepReport) -> None:
    odd = report.model_copy(update={"champion": "a|b <script>*x*\n[y](z)"})
    assert r"- champion: a\|b &lt;script>\*x\* \[y\](z)" in sweep_page.markdown(odd)


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.text, self._table = "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "table":
            self._table = dict(attrs)["id"] or ""
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append([])
        if tag in ("td", "th"):
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[self._table][-1][-1] += data


@pytest.fixture(scope="module")
def source(report: SweepReport) -> str:
    return sweep_page.html(report)


@pytest.fixture(scope="module")
def tuned_source(tuned_report: SweepReport) -> str:
    return sweep_page.html(tuned_report)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


@pytest.mark.parametrize("which", ["source", "tuned_source"])
def test_html_is_whole_and_modest(which: str, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(which)
    page = Page(source)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert source.startswith("<!doctype html>")
    assert len(source.encode()) < 1_000_000
    assert page.text.replace("None: every setting", "").count("None") == 0
    assert "nan" not in page.text.split()


@pytest.mark.parametrize("which", ["source", "tuned_source"])
def test_html_loads_nothing_and_runs_nothing(which: str, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(which)
    page = Page(source)
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "link", "iframe", "object", "embed", "base", "form", "img"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
                assert value is not None
                assert value.startswith("#"), (tag, name, value)
                assert value[1:] in page.ids
    assert set(re.findall(r"url\(([^)]*)\)", source)) <= {f"#{name}" for name in page.ids}
    assert "@import" not in source


def test_html_has_the_reports_numbers(report: SweepReport, page: Page) -> None:
    assert page.rows["accuracy"][1:] == [cells(row) for row in report.rows]
    expected = []
    for result in report.results:
        for arm, numbers in result["arms"].items():
            shares = [numbers.get(name) for name in ("test_accuracy", "pseudo_label_accuracy", "coverage")]
            shown = ["–" if share is None else f"{100 * share:.2f}" for share in shares]
            names = [str(result["config"]["ratio"]), str(result["seed"]), arm]
            expected.append([*names, *shown, numbers["stop_reason"]])
    assert page.rows["experiments"][1:] == expected
    said = " ".join(page.text.split())
    for line in [finding(report), *differences(report)]:
        assert line in said


def test_a_tuned_sweep_says_what_was_best_what_it_is_worth_and_what_it_took(
    tuned_report: SweepReport, tuned_source: str
) -> None:
    page, text = Page(tuned_source), sweep_page.markdown(tuned_report)
    names = [name for study in tuned_report.studies[:2] for name in study.space]
    assert [row[0] for row in page.rows["best"][1:]] == names
    assert page.rows["best"][0] == ["best by validation", "untuned", "ratio 0.4", "ratio 0.1"]
    by_name = {row[0]: row[1:] for row in page.rows["best"][1:]}
    clusters = [f"{s.best['clustering.n_clusters']:.4g}" for s in tuned_report.studies if s.arm == AFTER]
    assert by_name["clustering.n_clusters"] == ["500", *clusters]
    assert ["`clustering.n_clusters`", "500", *clusters] in tables(text)
    said, lines = " ".join(page.text.split()), " ".join(printed(tuned_report))
    for line in [*tuning_gains(tuned_report), *study_lines(tuned_report)]:
        assert line in said
        assert line in text.replace("\\", "")
        assert line in " ".join(lines.split())
    assert "+0.23 points" in tuning_gains(tuned_report)[0]  # 0.2 and 0.3 in turn
    line = study_lines(tuned_report)[0]
    won = "trial 4 won out of 9 with 97.00 % of 300 images, 96.50 % over 2 draws"
    assert f"{won}, 2 pruned, 1 diverged, 1 run again" in line
    assert "about 10% by pruning, 30% by the store" in study_lines(tuned_report)[0]
    assert page.text.count("trials in pictures") == 4


def test_html_says_how_it_was_measured(report: SweepReport, page: Page) -> None:
    said = " ".join(page.text.split())
    assert "the pool is 600 training images of MNIST; the test is 500 clean test images" in said
    held = [f"{r['validation']} of {r['labelled']} labels at ratio {r['config']['ratio']}" for r in report.results]
    assert f"Validation comes out of the labelled budget: {held[0]}, {held[2]}." in said
    assert "The test was opened once per arm and seed" in said
    provenance = dict(page.rows["provenance"])
    assert provenance["torch"] == "2.9.0"
    assert provenance["digest of the results (SHA-256)"] == report.digest
    assert provenance["champion"] == report.champion
    assert "2 arms, 2026-01-02." in said


def test_html_names_the_settings_that_were_changed(invented: Invent, page: Page) -> None:
    changed = {name: (value, default) for name, value, default in page.rows["settings"][1:]}
    assert changed["clustering.n_clusters"] == ("40", "500")
    assert changed["pool.size"] == ("600", "0")
    assert "retrain.learning_rate" not in changed
    plain = SweepConfig(experiment=Method(clustering=Clustering(n_clusters=500)))
    assert "every setting of the experiments is kmpl’s default" in sweep_page.html(compare(plain, invented(plain)))


def test_views_have_a_table_where_there_are_several(page: Page, wide: SweepReport) -> None:
    assert "views" not in page.rows
    rows = [row.model_copy(update={"views": {"clean": 0.99, "noise": row.mean}}) for row in wide.rows]
    several = Page(sweep_page.html(wide.model_copy(update={"rows": tuple(rows)}))).rows["views"]
    assert several[0] == ["ratio", "arm", "clean", "noise", "mean"]
    assert several[1:] == [
        [f"{row.ratio}", row.arm, "99.00", f"{100 * row.mean:.2f}", f"{100 * row.mean:.2f}"] for row in rows
    ]


def test_html_escapes_what_it_is_given(report: SweepReport) -> None:
    evil = "<script>alert(1)</script>"
    settings = report.settings.model_copy(
        update={"experiment": report.settings.experiment.model_copy(update={"dataset": evil})}
    )
    results = tuple(
        result | {"arms": {arm: numbers | {"stop_reason": evil} for arm, numbers in result["arms"].items()}}
        for result in report.results
    )
    more = {"settings": settings, "results": results, "name": evil, "champion": evil, "run": evil}
    odd = Page(sweep_page.html(report.model_copy(update=more | {"environment": {evil: evil, "date": evil}})))
    assert not any(tag == "script" for tag, _ in odd.tags)
    assert odd.text.count(evil) > 10


def test_the_same_report_gives_the_same_page(report: SweepReport, source: str) -> None:
    assert sweep_page.html(report) == source


@pytest.mark.parametrize(
    "change", [{"seeds": (0,)}, {"arms": ("oracle",)}, {"ratios": (0.1,), "arms": ("pseudo-label",)}]
)
def test_small_sweeps_have_pages_too(invented: Invent, change: dict[str, Any]) -> None:
    settings = SweepConfig(**change)
    report = compare(settings, invented(settings))
    assert Page(sweep_page.html(report)).rows["accuracy"][1:] == [cells(row) for row in report.rows]
    assert len(printed(report)) > 5
    assert finding(report) in sweep_page.markdown(report)
