"""Pictures with more than 8 bits a channel: their true numbers out of Pillow, and those numbers as 8 bits.

Pillow keeps the upper 8 bits alone of 16-bit colour, and errs on some TIFFs: compressed big-endian ones come with their
bytes swapped, colour in separate planes as noise. H × W pixels.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from kmpl.images.file_kinds import FORMATS
from kmpl.images.value_ranges import FLOATING, FULL, SIXTEEN, THIRTY_TWO, Extent, Range

_NATIVE = "L" if sys.byteorder == "little" else "B"
_SWAPPED = {"L": "B", "B": "L", "N": "B" if _NATIVE == "L" else "L"}
_COLOUR = re.compile(r"(RGB|RGBA|RGBX);16([BLN])")
_GREY_ALPHA = "LA;16B"
_FOREIGN = re.compile(r"(I;16|I;32|F;32)B?(S?)(F?)")
_SAMPLED = 1024  # rows and columns that are looked at, at most
_BEYOND = 1000  # one pixel in so many says nothing of the range
_AT_A_TIME = 2**20  # pixels that are scaled
_NO_DATA = (-9999.0, -99999.0, -999.0, -32768.0, -32767.0, -(2.0**31))
_HUGE = 1e19  # as are 1e20, 9.97e36 and the least float
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT, _GDAL_NO_DATA = 258, 259, 262, 277, 284, 339, 42113
"""Tags of TIFF; the last is what GDAL adds."""


class NotDecodedError(Exception):
    """A deep picture of a kind that no decoder here gives rightly; the message says which."""


@dataclass(frozen=True)
class Deep:
    """The numbers of a deep picture."""

    kind: str
    values: np.ndarray
    """(H, W) or (H, W, 3)."""
    alpha: np.ndarray | None = None
    """(H, W) uint16."""
    no_data: float | None = None
    """The number that the file itself says is none."""
    inverted: bool = False
    """The least number is white."""
    orientation: int = 1
    """EXIF's; ``values`` are not turned."""

    @property
    def extent(self) -> Extent:
        """What the picture uses. Numbers that mean "no data" do not count, nor one pixel in a thousand at each end."""
        step = [slice(None, None, -(-side // _SAMPLED)) for side in self.values.shape[:2]]
        values = self.values[tuple(step)]
        if self.alpha is not None:
            values = values[self.alpha[tuple(step)] > 0]
        numbers = values[self._valid(values)].astype(np.float64)
        for least in sorted(_NO_DATA):
            if numbers.size and numbers.min() == least:  # only what is below all else
                numbers = numbers[numbers != least]
        if not numbers.size:
            return Extent(self.kind, float("nan"), float("nan"))
        few = numbers.size // _BEYOND
        ends = np.partition(numbers, sorted({few, numbers.size - 1 - few}))
        return Extent(self.kind, float(ends[few]), float(ends[-1 - few]))

    def scaled(self, span: Range) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture and its alpha as uint8; what lies outside of ``span`` is clipped, no data is black."""
        low, high = span
        pixels = np.empty(self.values.shape, dtype=np.uint8)
        for rows in _blocks(self.values.shape):
            numbers, valid = self.values[rows], self._valid(self.values[rows])
            if self.kind == SIXTEEN:
                part = _table(low, high)[numbers]
            else:
                part = _eight_bits(np.where(valid, numbers, low).astype(np.float64), low, high)
            pixels[rows] = np.where(valid, 255 - part if self.inverted else part, 0)
        if self.alpha is None:
            return pixels, None
        # Alpha is of 16 bits, unless who wrote 10 bits of colour wrote 10 of alpha too.
        table, alpha = _table(0.0, FULL[1] if self.alpha.max() > high else high), np.empty(self.alpha.shape, np.uint8)
        for rows in _blocks(alpha.shape):
            alpha[rows] = table[self.alpha[rows]]
        return pixels, alpha

    def _valid(self, values: np.ndarray) -> np.ndarray:
        valid = np.ones(values.shape, dtype=bool)
        if self.kind == FLOATING:
            valid = np.abs(np.nan_to_num(values, nan=np.inf)) < _HUGE
        return valid if self.no_data is None else valid & (values != self.no_data)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Give a picture's rows some at a time: what is computed from them takes several times their memory."""
    rows = max(1, _AT_A_TIME // max(1, shape[1]))
    return (slice(top, top + rows) for top in range(0, shape[0], rows))


@lru_cache(maxsize=8)
def _table(low: float, high: float) -> np.ndarray:
    """Return what each number of 16 bits is as 8 bits, (65,536,) uint8."""
    return _eight_bits(np.arange(65_536, dtype=np.float64), low, high)


def _eight_bits(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((numbers - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)


def complete_pillow() -> None:
    """Teach Pillow two big-endian TIFFs whose little-endian twins it reads: white is 0, and unsigned 32 bits."""
    known, big = TiffImagePlugin.OPEN_INFO, TiffImagePlugin.MM
    known.setdefault((big, 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
    known.setdefault((big, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


def deep_picture(image: ImageFile.ImageFile, file: BinaryIO) -> Deep | None:
    """Return the numbers of a picture that is open and not yet loaded; None if it has 8 bits.

    Raises:
        NotDecodedError: Pillow would give other numbers than are in the file.
    """
    modes = {_raw_mode(tile) for tile in image.tile}
    mode = next(iter(modes)) if len(modes) == 1 else ""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if tags.get(_PLANAR) == 2 and tags.get(_SAMPLES, 1) > 1 and max(tags.get(_BITS, (1,))) > 8:
        raise NotDecodedError("a TIFF of 16 bits a channel with its colours in separate planes")
    if colour := _COLOUR.fullmatch(mode):
        return _colour(image, file, mode, f"{colour[1]};16{_SWAPPED[colour[2]]}")
    if mode == _GREY_ALPHA:
        _set_mode(image, "RGBA")  # as wide: upper and lower 8 bits of grey, then of alpha
        pairs = np.asarray(image).astype(np.uint16)
        grey, alpha = (pairs[..., i] * 256 + pairs[..., i + 1] for i in (0, 2))
        return Deep(SIXTEEN, grey, alpha)
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return None
    return _grey(image, mode, tags)


def _grey(image: ImageFile.ImageFile, mode: str, tags: Mapping[int, Any]) -> Deep:
    if (foreign := _FOREIGN.fullmatch(mode)) and image.tile[0][0] == "libtiff" and not image.mode.startswith("I;16"):
        _set_mode(image, f"{foreign[1]}N{foreign[2]}{foreign[3]}")  # libtiff has put the bytes into order already
    values = np.asarray(image)
    no_data, inverted = _no_data(tags), tags.get(_PHOTOMETRIC) == 0
    if image.mode == "F":
        return Deep(FLOATING, values, None, no_data, inverted)
    if image.mode == "I":
        unsigned = tags.get(_BITS) == (32,) and tags.get(_FORMAT, (1,)) == (1,)
        return Deep(THIRTY_TWO, values.view(np.uint32) if unsigned else values, None, no_data, inverted)
    values, painted = values.astype(np.uint16), image.info.get("transparency")
    alpha = np.where(values == painted, 0, 65_535).astype(np.uint16) if isinstance(painted, int) else None
    return Deep(SIXTEEN, values, alpha, no_data, inverted)


def _colour(image: ImageFile.ImageFile, file: BinaryIO, mode: str, low_mode: str) -> Deep:
    """Decode twice: once for the upper 8 bits, once, as if bytes lay the other way round, for the lower ones."""
    painted = image.info.get("transparency")
    values = np.asarray(image).astype(np.uint16)
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        assert isinstance(again, ImageFile.ImageFile)
        assert {_raw_mode(tile) for tile in again.tile} == {mode}
        _set_mode(again, low_mode)
        values <<= 8
        values |= np.asarray(again)
    alpha = values[..., 3] if values.shape[-1] == 4 else None
    values = values[..., :3]
    if isinstance(painted, tuple) and len(painted) == 3:
        alpha = np.where((values == painted).all(axis=2), 0, 65_535).astype(np.uint16)
    return Deep(SIXTEEN, values, alpha)


def _raw_mode(tile: ImageFile._Tile) -> str:
    """Return how the bytes of a tile are laid out, in Pillow's words; empty if it does not say."""
    layout = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
    return layout if isinstance(layout, str) else ""


def _set_mode(image: ImageFile.ImageFile, mode: str) -> None:
    """Have the bytes of a picture that is not yet loaded taken as if they were laid out so."""
    image.tile = [
        tile._replace(args=(mode, *tile[3][1:]) if isinstance(tile[3], tuple) else mode) for tile in image.tile
    ]


def _no_data(tags: Mapping[int, Any]) -> float | None:
    try:
        return float(str(tags[_GDAL_NO_DATA]).strip("\0 "))
    except (KeyError, ValueError):
        return None


def tiff_kind(file: BinaryIO) -> str:
    """Return what a TIFF that Pillow does not know holds, in words; empty if even that cannot be seen."""
    try:
        file.seek(0)
        head = file.read(8)
        if head[2:3] == b"+" or head[3:4] == b"+":
            return "a big-endian BigTIFF" if head[:1] == b"M" else "a BigTIFF of an unusual kind"
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
        bits, samples, packed = max(tags.get(_BITS, (1,))), tags.get(_SAMPLES, 1), tags.get(_COMPRESSION, 1)
        what = {2: "signed whole numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
        kind = what.get(max(tags.get(_FORMAT, (1,))), "whole numbers")
    except Exception:  # a damaged directory may raise anything
        return ""
    if not tags:
        return ""
    if packed not in TiffImagePlugin.COMPRESSION_INFO:
        return f"a TIFF of compression {packed}"
    if tags.get(_PHOTOMETRIC) in (32_803, 34_892):
        return "a TIFF of a camera's raw numbers"
    return f"a TIFF of {bits}-bit {kind}" + (f", {samples} channels" if samples != 1 else "")
