"""The contact sheet: the suggested images in one figure, numbered as in the CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kmpl.reports.figures import COLOURS

SIDE_PIXELS = 96
"""Side of each image on the sheet."""
_MIN_COLUMNS = 5
_MAX_COLUMNS = 10
_CELL_WIDTH_INCHES = 1.15
_CELL_HEIGHT_INCHES = 1.38


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One image of the sheet."""

    image: np.ndarray
    """(height, width, 1 or 3) uint8."""
    caption: str
    """Text below the image."""
    reason: str
    """Why the image is suggested; images with the same reason have frames of the same colour."""


def sheet(cells: Sequence[Cell], title: str) -> Figure:
    """Return the images in rows, numbered from 1, each framed in the colour of its reason."""
    columns = _columns(len(cells))
    rows = math.ceil(len(cells) / columns)
    figure = Figure(
        figsize=(columns * _CELL_WIDTH_INCHES, rows * _CELL_HEIGHT_INCHES + 0.5), layout="constrained", dpi=100
    )
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
    """Return the number of columns: the sheet is slightly wider than high, and its last row is not nearly empty.

    >>> [_columns(n) for n in (1, 20, 37, 200)]
    [5, 5, 8, 10]
    """
    ideal = min(max(math.sqrt(1.6 * n), _MIN_COLUMNS), _MAX_COLUMNS)
    return min(range(_MIN_COLUMNS, _MAX_COLUMNS + 1), key=lambda width: (-n % width) / width + abs(width - ideal) / 3)


def _draw(axes: Axes, cell: Cell, number: int, colour: str) -> None:
    grey = cell.image.shape[-1] == 1
    axes.imshow(cell.image[..., 0] if grey else cell.image, cmap="gray" if grey else None, vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(color=colour, linewidth=2)
    axes.set_xlabel(short_name(cell.caption), fontsize=6.5, color="#444444", parse_math=False)
    box = {"boxstyle": "square,pad=0.25", "facecolor": colour, "edgecolor": "none"}
    look: dict[str, Any] = {"fontsize": 8, "weight": "bold", "color": "white", "bbox": box}
    axes.text(0.0, 1.0, str(number), transform=axes.transAxes, ha="left", va="top", **look)


def short_name(name: str, length: int = 18) -> str:
    """Return a name of at most ``length`` letters: the end stays, because it tells files apart.

    >>> short_name("holidays/2021/IMG_20210702_0042.jpg"), short_name("a.png")
    ('…20210702_0042.jpg', 'a.png')
    """
    return name if len(name) <= length else "…" + name[-length + 1 :]
