"""The benchmark of cost as markdown and as a figure."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kmpl.benchmarks.provenance import run_provenance
from kmpl.benchmarks.speed.cost import STEPS, Cost, by_step, growth
from kmpl.reports.figures import COLOURS, bare, canvas, logarithmic
from kmpl.reports.sweep_page import grid

MAX_LINEAR_EXPONENT = 1.1
"""Exponents up to it count as linear: two measurements differ as much."""

_INTRODUCTION = """\
One round of the method on pools of views of the training images, 100 of them labelled; retraining takes each image
once. Each size runs in a process of its own, once. Memory is the process's largest during the step: libraries, and what
stays from earlier steps, are in it."""


def markdown(costs: Sequence[Cost], environment: Mapping[str, str]) -> str:
    """Return the tables as markdown."""
    steps = by_step(costs)
    sizes = [f"{cost.images:,}" for cost in steps["all"]]
    times = [[step, *(f"{c.seconds:,.1f}" for c in line), _power(costs, step)] for step, line in steps.items()]
    memory = [[step, *(f"{c.peak:,.0f}" for c in line)] for step, line in steps.items()]
    parts = [
        "# Cost against size",
        _INTRODUCTION,
        grid(["seconds", *sizes, "grows by"], times, left=("seconds",)),
        "*Grows by*: the power of the pool's size, fitted from 30,000 images on; 1 is linear.",
        grid(["MiB at most", *sizes], memory, left=("MiB at most",)),
        run_provenance(environment),
    ]
    return "\n\n".join(parts) + "\n"


def _power(costs: Sequence[Cost], step: str) -> str:
    power = growth(costs, step)
    if math.isnan(power):
        return "–"
    return f"**{power:.2f}, faster than the pool**" if power > MAX_LINEAR_EXPONENT else f"{power:.2f}"


def figure(costs: Sequence[Cost]) -> Figure:
    """Return seconds and memory against the pool's size, on logarithmic scales."""
    drawn, axes = canvas(1, 2, 12, 4.4)
    seconds, memory = axes[0]
    steps = by_step(costs)
    sizes = sorted({cost.images for cost in costs})
    for colour, step in zip(COLOURS, STEPS, strict=False):
        for a, name in ((seconds, "seconds"), (memory, "peak")):
            a.plot(sizes, [getattr(cost, name) for cost in steps[step]], "o-", ms=4, color=colour, label=step)
    least = min(cost.seconds for cost in steps["embed"])
    seconds.plot(sizes, [least * n / sizes[0] for n in sizes], ":", color="#808080", label="linear")
    for a, unit in ((seconds, "seconds"), (memory, "MiB")):
        a.set_xscale("log")
        a.set_yscale("log")
        a.xaxis.set_major_locator(FixedLocator(sizes))
        a.xaxis.set_minor_locator(NullLocator())
        a.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        a.tick_params("x", rotation=30)
        bare(a, {"seconds": "time of each step", "MiB": "largest memory during each step"}[unit], "pool images", unit)
    memory.set_ylim(bottom=min(500.0, *(cost.peak for cost in costs)))
    for a in (seconds, memory):
        logarithmic(a.yaxis)
    drawn.legend(*seconds.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=9)
    return drawn
