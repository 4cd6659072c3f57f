"""The benchmark of speed as markdown and as a figure."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from kmpl.benchmarks.provenance import run_provenance
from kmpl.benchmarks.speed.table import Speed
from kmpl.benchmarks.speed.timing import Row
from kmpl.reports.figures import COLOURS, bare, canvas
from kmpl.reports.sweep_page import grid

_INTRODUCTION = """\
Each thing and what it is compared with were measured in turn, A B A B …, in one run, after a turn that does not count:
the median, and the least and the greatest in brackets. Machines are noisy: ratios count, not seconds. Where a single
number stands, it was measured once, because it takes minutes."""


def markdown(speed: Speed, environment: Mapping[str, str]) -> str:
    """Return the tables as markdown."""
    rows = speed.rows
    table = [
        [row.name, _median_and_range(row.values), _goal(row, row.must), _goal(row, row.aim), _verdict(row)]
        for row in rows
    ]
    measured = [[row.name, name, _median_and_range(values)] for row in rows for name, values in row.parts.items()]
    best = [[name, f"{_median_and_range(row.values)} {row.unit}"] for name, row in speed.ceilings.items()]
    shares = [[f"`{name}`", f"{100 * share:.1f} %"] for name, share in speed.profile.items()]
    parts = [
        "# Speed",
        _INTRODUCTION,
        grid(["what", "seen", "must", "aim", ""], table, left=("what", "")),
        "What this machine can do at best, measured in the same run:",
        grid(["ceiling", "seen"], best, left=("ceiling",)),
        "What the ratios are made of:",
        grid(["what", "part", "seen"], measured, left=("what", "part")),
        "Where the time of retraining goes, by torch's profiler, which itself takes some of it:",
        grid(["operation", "own time"], shares, left=("operation",)),
        run_provenance(environment),
    ]
    return "\n\n".join(parts) + "\n"


def figure(rows: Sequence[Row]) -> Figure:
    """Return each row's share of its aim, with range and minimum."""
    drawn, axes = canvas(1, 1, 9, 0.8 + 0.45 * len(rows))
    a = axes[0, 0]
    names = [row.name for row in rows][::-1]
    for position, row in enumerate(rows[::-1]):
        must = _share_of_aim(row, row.must)
        ends = [_share_of_aim(row, min(row.values)), _share_of_aim(row, max(row.values))]
        a.barh(position, _share_of_aim(row, row.median), color=COLOURS[0], height=0.5)
        a.plot(ends, [position, position], color="black", lw=1)
        a.plot([must, must], [position - 0.35, position + 0.35], color=COLOURS[1], lw=2)
    a.axvline(1, color="#808080", lw=0.8, ls=":")
    a.set_yticks(range(len(names)), names)
    bare(a, "", "share of what is aimed at (dotted); strokes: what must be reached")
    return drawn


def _share_of_aim(row: Row, value: float) -> float:
    return value / row.aim if row.more else row.aim / value


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _median_and_range(values: Sequence[float]) -> str:
    ends = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    return _number(statistics.median(values)) + ends


def _goal(row: Row, goal: float) -> str:
    return f"{'≥' if row.more else '≤'} {goal:g} {row.unit}"


def _verdict(row: Row) -> str:
    if row.reaches(row.aim):
        return "reached, and what is aimed at"
    return "reached" if row.reaches(row.must) else "**not reached**"
