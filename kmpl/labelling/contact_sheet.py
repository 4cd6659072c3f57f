"""A sheet on which a person sees the suggested images at a glance, numbered as in the CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kmpl.reports.figures import COLOURS

SIDE = 96
"""Pixels of each image's side on the sheet."""
_FEWEST, _MOST = 5, 10  # images in a row
_CELL = 1.15, 1.38  # inches


@dataclass(frozen=True)
class Cell:
    """One image of the sheet."""

    image: np.ndarray
    """(height, width, 1 or 3) uint8."""
    caption: str
    reason: str


def sheet(cells: Sequence[Cell], title: str) -> Figure:
    """Return the images in rows, numbered from 1, each framed in the colour of its reason."""
    columns = _columns(len(cells))
    rows = math.ceil(len(cells) / columns)
    figure = Figure(figsize=(columns * _CELL[0], rows * _CELL[1] + 0.5), layout="constrained", dpi=100)
    reasons = list(dict.fromkeys(cell.reason for cell in cells))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(cells) :]:
        axes.set_axis_off()
    for number, (axes, cell) in enumerate(zip(grid, cells, strict=False), start=1):
        _draw(axes, cell, number, COLOURS[reasons.index(cell.reason)])
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
    keys = [Patch(color=colour, label=reason) for colour, reason in zip(COLOURS, reasons, strict=False)]
    figure.legend(handles=keys, loc="outside lower left", ncols=len(keys), frameon=False, fontsize=8)
    return figure


def _columns(n: int) -> int:
    """Return how many images stand in a row: a sheet somewhat wider than high, its last row not nearly empty.

    >>> [_columns(n) for n in (1, 20, 37, 200)]
    [5, 5, 8, 10]
    """
    ideal = min(max(math.sqrt(1.6 * n), _FEWEST), _MOST)
    return min(range(_FEWEST, _MOST + 1), key=lambda width: (-n % width) / width + abs(width - ideal) / 3)


def _draw(axes: Axes, cell: Cell, number: int, colour: str) -> None:
    grey = cell.image.shape[-1] == 1
    axes.imshow(cell.image[..., 0] if grey else cell.image, cmap="gray" if grey else None, vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(color=colour, linewidth=2)
    axes.set_xlabel(shortened(cell.caption), fontsize=6.5, color="#444444", parse_math=False)
    about = {"boxstyle": "square,pad=0.25", "facecolor": colour, "edgecolor": "none"}
    look: dict[str, Any] = {"fontsize": 8, "weight": "bold", "color": "white", "bbox": about}
    axes.text(0.0, 1.0, str(number), transform=axes.transAxes, ha="left", va="top", **look)


def shortened(name: str, length: int = 18) -> str:
    """Return a name of at most so many letters: its end, which tells files apart, is kept.

    >>> shortened("holidays/2021/IMG_20210702_0042.jpg"), shortened("a.png")
    ('…20210702_0042.jpg', 'a.png')
    """
    return name if len(name) <= length else "…" + name[-length + 1 :]
