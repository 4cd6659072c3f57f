"""Transparent pictures: one ground for all of a folder, no margin, nothing lost; drawn around real digits."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmpl.datasets.image_folder import read_folder
from kmpl.datasets.registry import read
from kmpl.images.conversion import PLAIN, Conversion
from kmpl.images.decoding import read_picture

CANVAS_PIXELS = 96


def digit(number: int) -> np.ndarray:
    """Return a real digit, (28, 28) uint8, ink 255."""
    return read("MNIST", True).images[number, 0].numpy()


def save(path: Path, ink: int, alpha: np.ndarray, at: tuple[int, int] = (0, 0), mode: str = "LA") -> Path:
    """Write ink of one shade, seen where ``alpha`` says so, somewhere on a transparent canvas."""
    canvas = np.zeros((CANVAS_PIXELS, CANVAS_PIXELS), dtype=np.uint8)
    top, left = at
    canvas[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    image = Image.merge("LA", [Image.new("L", canvas.shape, ink), Image.fromarray(canvas)]).convert(mode)
    image.save(path)
    return path


def save_outlined(path: Path, number: int) -> Path:
    """Write a white digit with a dark outline of one pixel."""
    filled = np.pad(digit(number) > 100, 2)
    grown = filled.copy()
    for axis in (0, 1):
        grown |= np.roll(filled, 1, axis) | np.roll(filled, -1, axis)
    shade = np.where(filled, 255, 20).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(shade), Image.fromarray((grown * 255).astype(np.uint8))]).save(path)
    return path


def test_outlines_of_white_drawings_are_kept_and_white_icons_get_black_for_the_whole_folder(tmp_path: Path) -> None:
    outlined = tmp_path / "outlined"
    icons = tmp_path / "icons"
    outlined.mkdir()
    icons.mkdir()
    for number in range(8):
        save_outlined(outlined / f"{number}.png", number)
        save(icons / f"{number}.png", 255 if number else 90, digit(number), mode=("LA", "RGBA")[number % 2])
    on_white = read_folder(outlined)
    assert on_white.conversion == Conversion(ground=255)
    assert on_white.images.shape[1] == 1  # grey stays grey
    assert all((image < 128).float().mean() > 0.03 for image in on_white.images)  # the outline
    on_black = read_folder(icons)
    assert on_black.conversion == Conversion(ground=0)
    assert all(image[0, 0, 0] == 0 for image in on_black.images)  # the grey one, too, though it is seen on white
    assert (on_white.reading_notes, on_black.reading_notes) == ((), ())


def test_a_few_that_vanish_do_not_decide_for_a_folder_and_are_counted(tmp_path: Path) -> None:
    for number in range(40):
        save(tmp_path / f"{number:02}.png", 255 if number == 7 else 60, digit(number))
    found = read_folder(tmp_path)
    assert found.conversion.ground == 255
    assert found.images[7].min() == 255
    (note,) = found.reading_notes
    assert note == (
        "1 transparent picture is as white as the ground of the folder's transparent pictures and cannot be seen on it"
    )


def test_without_transparent_pixels_nothing_is_decided_and_an_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    Image.fromarray(digit(3)).save(tmp_path / "a.png")
    plain = read_folder(tmp_path).images
    Image.merge("LA", [Image.fromarray(digit(3)), Image.new("L", (28, 28), 255)]).save(tmp_path / "a.png")
    found = read_folder(tmp_path)
    assert found.conversion == PLAIN
    np.testing.assert_array_equal(found.images, plain)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_where_a_drawing_lies_on_its_canvas_and_how_large_that_is_changes_nothing(mode: str, tmp_path: Path) -> None:
    alpha = digit(0)
    alpha = alpha[np.ix_(alpha.any(axis=1), alpha.any(axis=0))]  # without its own margin
    shown = [
        read_picture(save(tmp_path / "a.png", 0, alpha, at, mode), (28, 28), 1)[..., 0] for at in ((0, 0), (60, 9))
    ]
    np.testing.assert_array_equal(shown[0], shown[1])
    dark = shown[0] < 128
    assert max(dark.any(axis=1).sum(), dark.any(axis=0).sum()) >= 26  # it fills the image


def test_a_picture_of_exactly_the_size_keeps_its_margin_and_its_pixels(tmp_path: Path) -> None:
    Image.merge("LA", [Image.new("L", (28, 28)), Image.fromarray(digit(1))]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (28, 28), 1)[..., 0], 255 - digit(1))


def test_a_breath_of_alpha_is_margin_and_a_wholly_transparent_picture_is_its_ground(tmp_path: Path) -> None:
    alpha = np.full((40, 40), 3, dtype=np.uint8)
    alpha[10:20, 10:20] = 255
    assert read_picture(save(tmp_path / "a.png", 0, alpha), (10, 10), 1).max() == 0
    assert read_picture(save(tmp_path / "b.png", 0, 0 * alpha), (10, 10), 1).min() == 255


def test_edges_are_mixed_with_the_ground_and_hidden_colours_do_not_shine_through(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0] = (0, 0, 0, 255), (0, 0, 0, 128)
    pixels[1] = (255, 0, 0, 0), (255, 0, 0, 0)  # red that nobody sees
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for ground, edge in ((255, 127), (0, 0)):
        found = read_picture(tmp_path / "a.png", conversion=Conversion(ground=ground))
        assert found[..., 0].tolist() == [[0, edge], [ground, ground]]
        small = read_picture(tmp_path / "a.png", (1, 1), conversion=Conversion(ground=ground))
        assert (small == small[..., :1]).all()


def test_neither_the_order_nor_a_copy_elsewhere_changes_the_ground(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    for number in range(9):
        save(first / f"{number}.png", 255 if number % 2 else 30, digit(number))
    second = tmp_path / "second"
    second.mkdir()
    for number in range(9):
        shutil.copy(first / f"{number}.png", second / f"{8 - number}.png")
    ours = read_folder(first)
    theirs = read_folder(second)
    assert ours.conversion == theirs.conversion
    np.testing.assert_array_equal(ours.images, theirs.images.flip(0))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"ranges": {"16-bit": [5, 5]}}, "a greater white"),
        ({"ground": 7}, "0 .black. or 255 .white."),
    ],
)
def test_an_impossible_conversion_is_refused(record: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conversion.from_record(record)


def test_a_conversion_is_its_record_and_early_records_had_none() -> None:
    for conversion in (PLAIN, Conversion({"16-bit": (0.0, 1023.0)}), Conversion({"32-bit": (0.0, 9.0)}, 0)):
        assert Conversion.from_record(conversion.record()) == conversion
    assert Conversion.from_record({"classes": ["a"]}) == PLAIN


def grey_png(path: Path, pixels: np.ndarray, bits: int, transparent: int) -> Path:
    """Write a grey PNG of few bits a pixel, (height, width) of levels, one of them transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    planes = ((pixels[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(planes, axis=1))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"tRNS", struct.pack(">H", transparent)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts))
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("ground", [0, 255])
def test_a_transparent_shade_of_few_bits_becomes_the_ground(bits: int, ground: int, tmp_path: Path) -> None:
    """A digit on a transparent level: Pillow scales the pixels of 2 and 4 bits, and forgets the level."""
    highest = 2**bits - 1
    clear = max(1, highest // 3)
    levels = np.where(digit(0) > 100, 0, clear)
    path = grey_png(tmp_path / "a.png", levels, bits, clear)
    picture = read_picture(path, conversion=Conversion(ground=ground))
    np.testing.assert_array_equal(picture[..., 0], np.where(levels == clear, ground, 0))
    if bits > 1:
        path = grey_png(tmp_path / "b.png", levels, bits, highest)
        opaque = read_picture(path, conversion=Conversion(ground=ground))
        np.testing.assert_array_equal(opaque[..., 0], 255 * levels // highest)
