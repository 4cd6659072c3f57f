"""Colours, sizes and file format of all figures."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#999999", "#8C510A")
"""Okabe and Ito's colours, safe for colour-blind readers, and three more."""
MAIN_ARM = "pseudo-label"


def canvas(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure of ``width`` × ``height`` inches, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    return figure, figure.subplots(rows, columns, squeeze=False)


def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def bare(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Set title and axis labels, and remove the upper and the right line of the frame."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2, 5, 10, …; matplotlib adds others if the axis is short."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
