"""The ground under transparent pictures: one shade for all pictures of a folder, on which the fewest of them vanish.

Chosen picture by picture, the ground would say something about the class, and a white drawing with a black outline
would lose its outline on black.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageFile

WHITE = 255
BLACK = 0
_SAMPLE_SIDE_PIXELS = 32  # of the small copy on which visibility is measured
_VISIBLE_DIFFERENCE = 32  # shades between a pixel and its ground
_LEAST_VISIBLE_SHARE = 0.05  # of what is painted; below it, the picture vanishes
_TOLERATED_SHARE = 0.05  # of a folder's pictures that may vanish on white, which pages and pretrained networks know
_MARGIN_ALPHA = 8  # a margin of at most this alpha is cut off: some programs leave a breath of it


@dataclass(frozen=True, slots=True)
class Transparent:
    """A picture of which a part is transparent, fitted into its size, before it gets its ground."""

    colours: np.ndarray = field(repr=False)
    """(height, width, 1 or 3) uint8."""
    alpha: np.ndarray = field(repr=False)
    """(height, width) uint8, 0 = transparent."""
    vanishes_on: frozenset[int]
    """Grounds on which hardly anything of it would be seen."""

    def on(self, ground: int) -> np.ndarray:
        """Return the picture over a ground of one shade, (height, width, 1 or 3) uint8."""
        alpha = self.alpha[..., None].astype(np.uint16)
        mixed = self.colours * alpha + np.uint16(ground) * (255 - alpha)
        return ((mixed + 127) // 255).astype(np.uint8)

    @property
    def own_ground(self) -> int:
        """The ground of this picture, if no folder decides: white, or black if only that shows it."""
        return BLACK if WHITE in self.vanishes_on and BLACK not in self.vanishes_on else WHITE


def transparent_shade(image: ImageFile.ImageFile) -> int | None:
    """Return the shade, 0 to 255, that a grey PNG of few bits calls transparent; None if it is no such file.

    Pillow 13.0.0 scales the pixels of 2 and 4 bits to 8 and leaves this shade as it stands in the file, so that no
    pixel has it. To be asked before the pixels are loaded.
    """
    shade = image.info.get("transparency")
    raw_mode = image.tile[0].args if image.tile else None
    levels = {"1": 1, "L;2": 3, "L;4": 15}.get(raw_mode if isinstance(raw_mode, str) else "")
    if image.format != "PNG" or levels is None or not isinstance(shade, int) or shade > levels:
        return None
    return 255 * shade // levels


def grounds_it_vanishes_on(image: Image.Image) -> frozenset[int]:
    """Return the grounds on which hardly anything of a picture with alpha would be seen."""
    side = _SAMPLE_SIDE_PIXELS
    sample = np.asarray(image.resize((side, side), Image.Resampling.BOX).convert("RGBA"), dtype=np.int16)
    opacity = sample[..., 3].astype(np.float64)
    return frozenset(
        ground
        for ground in (WHITE, BLACK)
        if opacity[_differs(sample[..., :3], ground)].sum() < _LEAST_VISIBLE_SHARE * opacity.sum()
    )


def _differs(colours: np.ndarray, ground: int) -> np.ndarray:
    """Return, for each pixel, whether one of its channels differs visibly: yellow is bright, but not white."""
    return np.asarray((np.abs(colours - ground) >= _VISIBLE_DIFFERENCE).any(axis=-1))


def without_margin(image: Image.Image) -> Image.Image:
    """Return a picture with alpha without its transparent margin; one that is transparent all over stays whole."""
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > _MARGIN_ALPHA)).getbbox()
    return image if box is None else image.crop(box)


def decide_ground(pictures: Iterable[Transparent]) -> int | None:
    """Return the ground of a folder: white, or black if many pictures vanish on white and fewer on black.

    None: there is no transparent picture. The order of the pictures does not matter.
    """
    pictures = list(pictures)
    if not pictures:
        return None
    on_white = sum(WHITE in picture.vanishes_on for picture in pictures)
    on_black = sum(BLACK in picture.vanishes_on for picture in pictures)
    return BLACK if on_white > _TOLERATED_SHARE * len(pictures) and on_black < on_white else WHITE


def ground_sentence(pictures: Iterable[Transparent], ground: int) -> str:
    """Return a sentence for people if pictures vanish on the ground of their folder; else an empty text."""
    vanished = sum(ground in picture.vanishes_on for picture in pictures)
    shade = "white" if ground == WHITE else "black"
    if not vanished:
        return ""
    subject = "1 transparent picture is" if vanished == 1 else f"{vanished:,} transparent pictures are"
    return f"{subject} as {shade} as the ground of the folder's transparent pictures and cannot be seen on it"
