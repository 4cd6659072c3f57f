"""Value ranges: the pixel values of black and white in deep pictures, one range for all pictures of a kind in a folder.

A deep picture has more than 8 bits a channel. Cameras of 10, 12 or 14 bits write files of 16 bits, and floating-point
numbers have no natural range, so a single file does not tell its range; all files of a folder together do.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SIXTEEN = "16-bit"
"""Kind: unsigned integers of 16 bits."""
THIRTY_TWO = "32-bit"
"""Kind: other integers, also signed ones of 16 bits."""
FLOATING = "floating-point"
"""Kind: floating-point numbers."""

Range = tuple[float, float]
"""Pixel values of black and white."""
Ranges = Mapping[str, Range]
"""Range by kind."""

FULL: Range = (0.0, 65_535.0)
"""All numbers of 16 bits."""
_DEPTHS_BITS = (8, 10, 12, 14, 16)
_NOMINAL_MAXIMA = (1.0, 255.0, 65_535.0)  # of most floating-point pictures
_NOMINAL_TOLERANCE = 0.8, 1.05  # a maximum between these multiples of a nominal one counts as that one
_FILES_PER_OUTLIER = 100  # one file in so many may exceed the range, and one of at least ten
_DARK_FACTOR = 16  # a picture that uses less than this fraction of the range looks black


@dataclass(frozen=True, slots=True)
class Extent:
    """The pixel values that one deep picture uses."""

    kind: str
    low: float
    """Smallest value, with one pixel in a thousand ignored; NaN if the picture has no valid number."""
    high: float
    """Largest value, with one pixel in a thousand ignored."""


def decide(extents: Iterable[Extent]) -> dict[str, Range]:
    """Return the range of each kind; the order of the pictures does not matter.

    One file in a hundred may exceed the range, and one of ten to ninety-nine. Integers get the smallest depth of 8, 10,
    12, 14 and 16 bits that holds all other files. Floating-point numbers get 0 to 1, 255 or 65,535 if their maximum is
    about that, and otherwise 0 to their maximum. If values are negative or none is near 0, black is the minimum.

    >>> decide([Extent("16-bit", 0, 1_020), Extent("floating-point", 0, 1.02), Extent("floating-point", -3.0, 0.5)])
    {'16-bit': (0.0, 1023.0), 'floating-point': (-3.0, 1.02)}
    """
    kinds: dict[str, list[Extent]] = {}
    for extent in extents:
        kinds.setdefault(extent.kind, []).append(extent)
    return {kind: _range(kind, group) for kind, group in sorted(kinds.items())}


def _range(kind: str, extents: Sequence[Extent]) -> Range:
    lows = sorted(extent.low for extent in extents if math.isfinite(extent.low))
    highs = sorted(extent.high for extent in extents if math.isfinite(extent.high))
    if not lows:
        return (0.0, 1.0) if kind == FLOATING else (0.0, 255.0)
    outliers = max(len(lows) // _FILES_PER_OUTLIER, int(len(lows) >= 10))
    low = lows[outliers]
    high = highs[-1 - outliers]
    if high > low and (low < 0 or low > high / 2):
        return low, high
    if low < 0:
        return low, low + 1
    if kind == FLOATING:
        minimum, maximum = _NOMINAL_TOLERANCE
        near = [full for full in _NOMINAL_MAXIMA if minimum * full <= high <= maximum * full]
        return 0.0, near[0] if near else high or 1.0
    return 0.0, next((float(2**bits - 1) for bits in _DEPTHS_BITS if high < 2**bits), high)


def range_of_one(extent: Extent) -> Range:
    """Return the range of a single picture without a folder: all 16 bits, or for other kinds the values it uses."""
    return FULL if extent.kind == SIXTEEN else decide([extent])[extent.kind]


def sentences(ranges: Ranges, extents: Sequence[Extent]) -> tuple[str, ...]:
    """Return one sentence a kind for people: its range, and how many pictures look dark with it.

    >>> sentences({"16-bit": (0.0, 1023.0)}, [Extent("16-bit", 0.0, 1020.0)])
    ('16-bit pictures (1) use 10 bits: 0 is read as black, 1,023 as white',)
    """
    lines = []
    for kind, (low, high) in ranges.items():
        group = [extent for extent in extents if extent.kind == kind]
        bits = next((f" use {b} bits" for b in _DEPTHS_BITS if kind != FLOATING and (low, high) == (0, 2**b - 1)), "")
        line = f"{kind} pictures ({len(group):,}){bits}: {_number(low)} is read as black, {_number(high)} as white"
        dark = sum(extent.high - low < (high - low) / _DARK_FACTOR for extent in group)
        if 10 * dark >= len(group) and dark < len(group):
            line += f"; {dark:,} of them use less than a sixteenth of that and look black, keep them in a folder apart"
        lines.append(line)
    return tuple(lines)


def unknown_sentence(kind: str) -> str:
    """Return the warning about a kind of picture for which a model has no range."""
    how = "each is read by its own range"
    if kind == SIXTEEN:
        how = "0 is read as black, 65,535 as white; those that use fewer bits look dark, save them as 8 bits first"
    return f"the model was trained on no {kind} pictures and has no range for them: {how}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"
