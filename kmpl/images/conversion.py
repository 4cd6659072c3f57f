"""How the pictures of a folder become pixels of 8 bits; a model reads later pictures as those it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kmpl.images.transparency import BLACK, WHITE
from kmpl.images.value_ranges import Range


@dataclass(frozen=True, slots=True)
class Conversion:
    """What one file alone does not tell, and all files of a folder together do.

    Raises:
        ValueError: a range does not go from black to a greater white, or the ground is neither black nor white.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Pixel values of black and white in pictures of more than 8 bits, by kind (``kmpl.images.value_ranges``). Without
    a range, 16 bits are scaled by their full range, other kinds by the values that the picture uses."""
    ground: int | None = None
    """Shade under transparent pixels: 255 or 0 (``kmpl.images.transparency``). None: each picture gets white, or black
    if it would vanish on white."""

    def __post_init__(self) -> None:
        if any(not low < high for low, high in self.ranges.values()):
            raise ValueError("ranges must go from black to a greater white")
        if self.ground not in (None, BLACK, WHITE):
            raise ValueError(f"the ground must be {BLACK} (black) or {WHITE} (white)")

    def __bool__(self) -> bool:
        """Return whether a folder decided anything."""
        return bool(self.ranges) or self.ground is not None

    def record(self) -> dict[str, Any]:
        """Return the conversion for a file in JSON; ``from_record`` reads it."""
        ground = {} if self.ground is None else {"ground": self.ground}
        return {"ranges": {kind: list(span) for kind, span in self.ranges.items()}, **ground}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Conversion":
        """Return the conversion of a record, whose other entries do not matter; early versions wrote none.

        Raises:
            ValueError: the record is damaged.
            TypeError: the same.
        """
        ranges = {str(kind): (float(low), float(high)) for kind, (low, high) in record.get("ranges", {}).items()}
        return cls(ranges, record.get("ground"))


PLAIN = Conversion()
"""No folder decided anything: each picture is read for itself."""
