"""Which numbers of deep pictures are black and white: decided once for all pictures of a kind, never for one alone.

A deep picture has more than 8 bits a channel. Cameras of 10, 12 or 14 bits write files of 16, and floating-point
numbers have no range of their own: what is black and what is white, a whole folder says.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SIXTEEN, THIRTY_TWO, FLOATING = "16-bit", "32-bit", "floating-point"
"""The kinds: unsigned numbers of 16 bits, other whole numbers (also signed ones of 16 bits), floating point."""

Range = tuple[float, float]
"""The numbers that are black and white."""
Ranges = Mapping[str, Range]
"""Range by kind."""

FULL: Range = (0.0, 65_535.0)
"""What 16 bits can hold."""
_DEPTHS = (8, 10, 12, 14, 16)
_NOMINAL = (1.0, 255.0, 65_535.0)  # what floating-point pictures go up to, mostly
_NEARLY = 0.8, 1.05  # so near to one of those it is that one
_FEW = 100  # one file in so many may reach beyond the range, and one of ten
_DARK = 16  # times darker than the range allows


@dataclass(frozen=True)
class Extent:
    """What one deep picture uses."""

    kind: str
    low: float
    """Least number, but for one pixel in a thousand; NaN if there is no number in it."""
    high: float
    """Largest, likewise."""


def decide(extents: Iterable[Extent]) -> dict[str, Range]:
    """Return the range of each kind; it does not depend on the order.

    One file in a hundred may reach beyond it, and one of ten to ninety-nine. Whole numbers get the smallest depth of 8,
    10, 12, 14 and 16 bits that holds the others. Floating-point numbers get 0 to 1, 255 or 65,535 if they go up to
    about that, else what they use. Where no number is near 0, or some are below it, black is the least.

    >>> decide([Extent("16-bit", 0, 1_020), Extent("floating-point", 0, 1.02), Extent("floating-point", -3.0, 0.5)])
    {'16-bit': (0.0, 1023.0), 'floating-point': (-3.0, 1.02)}
    """
    kinds: dict[str, list[Extent]] = {}
    for one in extents:
        kinds.setdefault(one.kind, []).append(one)
    return {kind: _range(kind, some) for kind, some in sorted(kinds.items())}


def _range(kind: str, extents: Sequence[Extent]) -> Range:
    lows = sorted(one.low for one in extents if math.isfinite(one.low))
    highs = sorted(one.high for one in extents if math.isfinite(one.high))
    if not lows:
        return (0.0, 1.0) if kind == FLOATING else (0.0, 255.0)
    beyond = max(len(lows) // _FEW, int(len(lows) >= 10))
    low, high = lows[beyond], highs[-1 - beyond]
    if high > low and (low < 0 or low > high / 2):
        return low, high
    if low < 0:
        return low, low + 1
    if kind == FLOATING:
        near = [full for full in _NOMINAL if _NEARLY[0] * full <= high <= _NEARLY[1] * full]
        return 0.0, near[0] if near else high or 1.0
    return 0.0, next((float(2**bits - 1) for bits in _DEPTHS if high < 2**bits), high)


def alone(extent: Extent) -> Range:
    """Return the range of a picture that no folder says anything of: 16 bits are taken for full."""
    return FULL if extent.kind == SIXTEEN else decide([extent])[extent.kind]


def sentences(ranges: Ranges, extents: Sequence[Extent]) -> tuple[str, ...]:
    """Return for each kind what was decided, for people, and how many pictures are dark by it.

    >>> sentences({"16-bit": (0.0, 1023.0)}, [Extent("16-bit", 0.0, 1020.0)])
    ('16-bit pictures (1) use 10 bits: 0 is read as black, 1,023 as white',)
    """
    said = []
    for kind, (low, high) in ranges.items():
        own = [one for one in extents if one.kind == kind]
        bits = next((f" use {b} bits" for b in _DEPTHS if kind != FLOATING and (low, high) == (0, 2**b - 1)), "")
        line = f"{kind} pictures ({len(own):,}){bits}: {_number(low)} is read as black, {_number(high)} as white"
        dark = sum(one.high - low < (high - low) / _DARK for one in own)
        if 10 * dark >= len(own) and dark < len(own):
            line += f"; {dark:,} of them use less than a sixteenth of that and look black, keep them in a folder apart"
        said.append(line)
    return tuple(said)


def unknown_sentence(kind: str) -> str:
    """Return what is said where a model has no range for a kind of picture."""
    how = "each is read by its own range"
    if kind == SIXTEEN:
        how = "0 is read as black, 65,535 as white; those that use fewer bits look dark, save them as 8 bits first"
    return f"the model was trained on no {kind} pictures and has no range for them: {how}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.4g}"
