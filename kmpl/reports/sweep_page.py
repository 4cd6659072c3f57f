"""The report of a sweep for people: a table in the terminal, markdown, and one HTML page."""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from kmpl.config.base import flatten
from kmpl.config.experiment import AFTER, BEFORE, Method
from kmpl.config.sweep import experiment_name
from kmpl.reports.comparison import Row, SweepReport
from kmpl.reports.findings import best_settings, differences, early_endings, finding, percent, study_lines, tuning_gains

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = ("ratio", "labels", "arm", "n", "accuracy", "95 % interval", "right", "kept")
_NOTES = (
    "All in %. Accuracy: on the test, mean ± sd. Right: of the last round's pseudo-labels. Kept: of the unlabelled "
    "images, those that got a pseudo-label; the others were not trained on."
)
_DIFFERENCES = f"Test accuracy of {AFTER} minus that of {BEFORE}, in points, seed by seed"
_EARLY = "Rounds that ended early"
_TUNED = "Tuned − untuned on the test, seed by seed, on seeds that tuning never saw"


def terminal(report: SweepReport) -> Group:
    """Return the table of a sweep and the gain by pseudo-labels at each ratio, for a terminal of 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, title=_title(report), title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=True)
    for row in report.rows:
        if row.arm == report.settings.arms[0] and row.ratio != report.settings.ratios[0]:
            table.add_row()
        table.add_row(*_cells(row), style="bold" if row.arm == AFTER else "")
    lines = [f"{_DIFFERENCES}:", *(f"  {line}" for line in differences(report)), ""] if report.paired else []
    if early := early_endings(report):
        lines += [f"{_EARLY}:", *(f"  {line}" for line in early), ""]
    texts = [Text(line) for line in ["", _NOTES, "", *lines, finding(report)]]
    return Group(table, *texts, *(_tuning(report) if report.studies else ()))


def _tuning(report: SweepReport) -> list[Table | Text]:
    """Return the best settings at each ratio, the gains by tuning, and the lines on its studies."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, title="Best by validation", title_justify="left")
    for name in ("setting", "untuned", *_ratios(report)):
        table.add_column(name, justify="left" if name == "setting" else "right", no_wrap=True)
    for setting in best_settings(report):
        table.add_row(setting.name, setting.untuned, *setting.best)
    gains = [Text(f"  {line}") for line in tuning_gains(report)]
    studies = [Text(f"  {line}") for line in study_lines(report)]
    return [Text(""), table, Text(f"\n{_TUNED}:"), *gains, Text("\nStudies:"), *studies]


def _ratios(report: SweepReport) -> list[str]:
    return [f"ratio {ratio:g}" for ratio in report.settings.ratios]


def markdown(report: SweepReport, link: Callable[[str], str] | None = None) -> str:
    """Return the report as markdown.

    Args:
        report: of the sweep.
        link: returns the address of a run's page in MLflow from its id; without it, runs are named and not linked.
    """
    arms = report.settings.arms
    experiments = [
        [_linked(_name(result), report.runs, link), *(percent(result["arms"][arm]["test_accuracy"]) for arm in arms)]
        for result in report.results
    ]
    title = _title(report)
    parts = [
        f"## {_linked(title, {title: report.run}, link)}",
        _plain(finding(report)),
        grid(_COLUMNS, [_cells(row) for row in report.rows], left=("arm",)),
        f"*{_NOTES}*",
        *([f"**{_DIFFERENCES}**", "\n".join(f"- {line}" for line in differences(report))] if report.paired else []),
        *([f"**{_EARLY}**", "\n".join(f"- {line}" for line in early)] if (early := early_endings(report)) else []),
        *(_tuning_in_markdown(report) if report.studies else []),
        "### Experiments",
        grid(["experiment", *arms], experiments, left=("experiment",)),
        "\n".join(f"- {name}: {_plain(value)}" for name, value in _provenance(report).items()),
    ]
    return "\n\n".join(parts) + "\n"


def _tuning_in_markdown(report: SweepReport) -> list[str]:
    rows = [[f"`{setting.name}`", setting.untuned, *setting.best] for setting in best_settings(report)]
    return [
        "### Tuning",
        grid(["best by validation", "untuned", *_ratios(report)], rows, left=("best by validation",)),
        f"**{_TUNED}**",
        "\n".join(f"- {_plain(line)}" for line in tuning_gains(report)),
        "\n".join(f"- {_plain(line)}" for line in study_lines(report)),
    ]


def html(report: SweepReport) -> str:
    """Return the report as one HTML page with its figures inside; it needs no script and no network."""
    import jinja2  # like the figures, only this page needs it

    from kmpl.reports import study_plots, sweep_plots

    files = jinja2.PackageLoader("kmpl.reports", "templates")
    pages = jinja2.Environment(
        loader=files, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"percent": percent}
    return pages.get_template("sweep.html.j2").render(
        report=report,
        title=_title(report),
        finding=finding(report),
        differences=differences(report),
        heading=_DIFFERENCES,
        columns=_COLUMNS,
        rows=[(row, _cells(row)) for row in report.rows],
        figures={name: _svg(figure, name) for name, figure in sweep_plots.all_figures(report).items()},
        tuning={
            "best": best_settings(report),
            "gains": tuning_gains(report),
            "effort": study_lines(report),
            "heading": _TUNED,
        },
        studies=[
            (study, [(name, _svg(f, f"study{i}-{name}")) for name, f in study_plots.of_study(study).items()])
            for i, study in enumerate(report.studies)
        ],
        views=list(report.rows[0].views),
        measured=_measured(report),
        changed=_changed(report),
        provenance=_provenance(report) | report.environment,
    )


def _title(report: SweepReport) -> str:
    settings = report.settings.experiment
    return f"{report.name or 'sweep'}: {settings.dataset}, {settings.protocol} protocol"


def _name(result: dict[str, Any]) -> str:
    """Return the name of an experiment, as in ``SweepReport.runs``."""
    return experiment_name(result["config"]["ratio"], result["seed"])


def _cells(row: Row) -> list[str]:
    """Return a row of the table as text, in the order of ``_COLUMNS``."""
    accuracy = percent(row.mean) if row.sd is None else f"{percent(row.mean)} ± {percent(row.sd)}"
    ends = "–" if row.low is None else f"{percent(row.low)} to {percent(row.high)}"
    labels = f"{row.labels:,}"
    return [f"{row.ratio:g}", labels, row.arm, str(row.n), accuracy, ends, percent(row.right), percent(row.kept)]


def _measured(report: SweepReport) -> dict[str, Any]:
    """Return the sizes of pool, validation and test set, from the results."""
    first = report.results[0]
    return {
        "pool": first["labelled"] + first["unlabelled"],
        "validation": {r["config"]["ratio"]: (r["labelled"], r["validation"]) for r in report.results},
        "test": sum(sum(row) for row in next(iter(first["arms"].values()))["confusion"]),
    }


def _changed(report: SweepReport) -> dict[str, tuple[Any, Any]]:
    """Return the value and the default of each setting that differs from its default."""
    default = flatten(Method().model_dump(mode="json"))
    settings = flatten(report.settings.experiment.model_dump(mode="json"))
    return {name: (value, default[name]) for name, value in settings.items() if value != default[name]}


def _provenance(report: SweepReport) -> dict[str, str]:
    lines = {
        "champion": report.champion,
        "MLflow run": report.run,
        "time of all steps": _duration(report.seconds),
        "digest of the results (SHA-256)": report.digest,
    }
    return {name: text for name, text in lines.items() if text}


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _plain(text: str) -> str:
    """Return a text with markdown's special characters escaped, also for tables."""
    return re.sub(r"([\\|`*\[\]])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def _linked(text: str, runs: dict[str, str], link: Callable[[str], str] | None) -> str:
    run = runs.get(text)
    return f"[{_plain(text)}]({link(run)})" if run and link else _plain(text)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str]) -> str:
    """Return a table as markdown; the columns in ``left`` are aligned left, all others right."""
    rule = [":---" if name in left else "---:" for name in header]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])


def _svg(figure: "Figure", name: str) -> Any:
    """Return a figure as SVG; its black is the page's text colour, so it is readable on light and dark pages."""
    import matplotlib
    from markupsafe import Markup

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):  # the same report gives the same page
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("#000000", "currentColor")
    return Markup(re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text))  # two figures in one page share no ids
