"""Deep pictures (more than 8 bits a channel): decode their full values with Pillow, and scale them to 8 bits.

Pillow by itself keeps only the upper 8 bits of 16-bit colour, and decodes some TIFFs wrongly: compressed big-endian
ones with swapped bytes, colour in separate planes as noise. Shapes: H × W pixels.
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
_MAX_SAMPLED_PIXELS = 1024  # rows and columns, for the extent
_PIXELS_PER_OUTLIER = 1000  # one pixel in so many is ignored at either end
_BLOCK_PIXELS = 2**20  # that are scaled at a time
_NO_DATA_VALUES = (-9999.0, -99999.0, -999.0, -32768.0, -32767.0, -(2.0**31))
_MAX_VALID = 1e19  # larger values stand for "no data": 1e20, 9.97e36, the smallest float
# Tags of TIFF; GDAL adds the last one.
_BITS = 258
_COMPRESSION = 259
_PHOTOMETRIC = 262
_SAMPLES = 277
_PLANAR = 284
_FORMAT = 339
_GDAL_NO_DATA = 42113


class NotDecodedError(Exception):
    """A deep picture of a kind that would be decoded wrongly; the message names the kind."""


@dataclass(frozen=True, slots=True)
class Deep:
    """The values of a deep picture."""

    kind: str
    values: np.ndarray
    """(H, W) or (H, W, 3)."""
    alpha: np.ndarray | None = None
    """(H, W) uint16."""
    no_data: float | None = None
    """The value that stands for "no data", by the file itself."""
    inverted: bool = False
    """The smallest value is white."""
    orientation: int = 1
    """EXIF orientation; ``values`` are not turned by it."""

    @property
    def extent(self) -> Extent:
        """The values that the picture uses, without "no data", and without one pixel in a thousand at either end."""
        step = [slice(None, None, -(-side // _MAX_SAMPLED_PIXELS)) for side in self.values.shape[:2]]
        values = self.values[tuple(step)]
        if self.alpha is not None:
            values = values[self.alpha[tuple(step)] > 0]
        numbers = values[self._valid(values)].astype(np.float64)
        for no_data in sorted(_NO_DATA_VALUES):
            if numbers.size and numbers.min() == no_data:  # only if it is the smallest value
                numbers = numbers[numbers != no_data]
        if not numbers.size:
            return Extent(self.kind, float("nan"), float("nan"))
        outliers = numbers.size // _PIXELS_PER_OUTLIER
        ends = np.partition(numbers, sorted({outliers, numbers.size - 1 - outliers}))
        return Extent(self.kind, float(ends[outliers]), float(ends[-1 - outliers]))

    def scaled(self, span: Range) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the picture and its alpha as uint8; values outside of ``span`` are clipped, "no data" is black."""
        low, high = span
        pixels = np.empty(self.values.shape, dtype=np.uint8)
        for rows in _blocks(self.values.shape):
            numbers = self.values[rows]
            valid = self._valid(numbers)
            if self.kind == SIXTEEN:
                part = _table(low, high)[numbers]
            else:
                part = _eight_bits(np.where(valid, numbers, low).astype(np.float64), low, high)
            pixels[rows] = np.where(valid, 255 - part if self.inverted else part, 0)
        if self.alpha is None:
            return pixels, None
        # Alpha has 16 bits, but in a file with 10 bits of colour it may have 10, too.
        table = _table(0.0, FULL[1] if self.alpha.max() > high else high)
        alpha = np.empty(self.alpha.shape, np.uint8)
        for rows in _blocks(alpha.shape):
            alpha[rows] = table[self.alpha[rows]]
        return pixels, alpha

    def _valid(self, values: np.ndarray) -> np.ndarray:
        valid = np.ones(values.shape, dtype=bool)
        if self.kind == FLOATING:
            valid = np.abs(np.nan_to_num(values, nan=np.inf)) < _MAX_VALID
        return valid if self.no_data is None else valid & (values != self.no_data)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of a picture in blocks: computing on a block takes several times its memory."""
    rows = max(1, _BLOCK_PIXELS // max(1, shape[1]))
    return (slice(top, top + rows) for top in range(0, shape[0], rows))


@lru_cache(maxsize=8)
def _table(low: float, high: float) -> np.ndarray:
    """Return the 8-bit value of each 16-bit value, (65,536,) uint8."""
    return _eight_bits(np.arange(65_536, dtype=np.float64), low, high)


def _eight_bits(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((numbers - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)


def complete_pillow() -> None:
    """Teach Pillow two big-endian TIFFs whose little-endian twins it reads: white is 0, and unsigned 32 bits."""
    modes = TiffImagePlugin.OPEN_INFO
    big_endian = TiffImagePlugin.MM
    modes.setdefault((big_endian, 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
    modes.setdefault((big_endian, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


def deep_picture(image: ImageFile.ImageFile, file: BinaryIO) -> Deep | None:
    """Return the values of a picture that is open and not yet loaded; None if it has 8 bits.

    Raises:
        NotDecodedError: Pillow would give other values than the file has.
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
        _set_mode(image, f"{foreign[1]}N{foreign[2]}{foreign[3]}")  # libtiff has swapped the bytes already
    values = np.asarray(image)
    no_data = _no_data(tags)
    inverted = tags.get(_PHOTOMETRIC) == 0
    if image.mode == "F":
        return Deep(FLOATING, values, None, no_data, inverted)
    if image.mode == "I":
        unsigned = tags.get(_BITS) == (32,) and tags.get(_FORMAT, (1,)) == (1,)
        return Deep(THIRTY_TWO, values.view(np.uint32) if unsigned else values, None, no_data, inverted)
    values = values.astype(np.uint16)
    clear = image.info.get("transparency")  # the value of transparent pixels
    alpha = np.where(values == clear, 0, 65_535).astype(np.uint16) if isinstance(clear, int) else None
    return Deep(SIXTEEN, values, alpha, no_data, inverted)


def _colour(image: ImageFile.ImageFile, file: BinaryIO, mode: str, low_mode: str) -> Deep:
    """Decode twice: once for the upper 8 bits; once with the byte order reversed, for the lower 8 bits."""
    clear = image.info.get("transparency")  # the colour of transparent pixels
    values = np.asarray(image).astype(np.uint16)
    file.seek(0)
    with Image.open(file, formats=FORMATS) as second:
        assert isinstance(second, ImageFile.ImageFile)
        assert {_raw_mode(tile) for tile in second.tile} == {mode}
        _set_mode(second, low_mode)
        values <<= 8
        values |= np.asarray(second)
    alpha = values[..., 3] if values.shape[-1] == 4 else None
    values = values[..., :3]
    if isinstance(clear, tuple) and len(clear) == 3:
        alpha = np.where((values == clear).all(axis=2), 0, 65_535).astype(np.uint16)
    return Deep(SIXTEEN, values, alpha)


def _raw_mode(tile: ImageFile._Tile) -> str:
    """Return the byte layout of a tile, in Pillow's notation; empty if Pillow does not give it."""
    layout = tile[3][0] if isinstance(tile[3], tuple) and tile[3] else tile[3]
    return layout if isinstance(layout, str) else ""


def _set_mode(image: ImageFile.ImageFile, mode: str) -> None:
    """Set the byte layout by which Pillow decodes a picture that is not yet loaded."""
    image.tile = [
        tile._replace(args=(mode, *tile[3][1:]) if isinstance(tile[3], tuple) else mode) for tile in image.tile
    ]


def _no_data(tags: Mapping[int, Any]) -> float | None:
    try:
        return float(str(tags[_GDAL_NO_DATA]).strip("\0 "))
    except (KeyError, ValueError):
        return None


def tiff_kind(file: BinaryIO) -> str:
    """Return the kind of a TIFF that Pillow does not support, in words; empty if its header is unreadable."""
    try:
        file.seek(0)
        head = file.read(8)
        if head[2:3] == b"+" or head[3:4] == b"+":
            return "a big-endian BigTIFF" if head[:1] == b"M" else "a BigTIFF of an unusual kind"
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file.seek(tags.next)
        tags.load(file)
        bits = max(tags.get(_BITS, (1,)))
        samples = tags.get(_SAMPLES, 1)
        compression = tags.get(_COMPRESSION, 1)
        kinds = {2: "signed whole numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
        kind = kinds.get(max(tags.get(_FORMAT, (1,))), "whole numbers")
    except Exception:  # a damaged directory may raise anything
        return ""
    if not tags:
        return ""
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        return f"a TIFF of compression {compression}"
    if tags.get(_PHOTOMETRIC) in (32_803, 34_892):
        return "a TIFF of a camera's raw numbers"
    return f"a TIFF of {bits}-bit {kind}" + (f", {samples} channels" if samples != 1 else "")
