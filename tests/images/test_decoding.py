"""Real files of every kind, made here: what is read, and what is refused and why."""

import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kmpl.images.decoding import MAX_PIXELS, PictureError, read_picture
from kmpl.images.file_kinds import IMAGE_SUFFIXES


def shades(height: int = 12, width: int = 20) -> np.ndarray:
    """A grey picture without symmetry, (height, width) uint8."""
    rows, columns = np.mgrid[:height, :width]
    return (rows * 9 + columns * 5).astype(np.uint8)


def colours(height: int = 12, width: int = 20) -> np.ndarray:
    grey = shades(height, width)
    return np.stack([grey, 255 - grey, grey // 2], axis=2)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_format_is_read_in_grey_and_colour(suffix: str, tmp_path: Path) -> None:
    exact = suffix in (".png", ".bmp", ".tif", ".tiff")
    for pixels, channels in ((shades(), 1), (colours(), 3)):
        path = tmp_path / f"{channels}{suffix}"
        about: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(pixels).save(path, **about)
        found = read_picture(path, channels=channels)
        assert (found.shape, found.dtype) == ((12, 20, channels), np.uint8)
        error = np.abs(found.astype(int) - pixels.reshape(12, 20, channels).astype(int))
        assert error.max() == 0 if exact else error.mean() < 12
        if suffix != ".webp":  # which knows no grey
            assert read_picture(path).shape == found.shape


def test_channels_are_changed_on_demand(tmp_path: Path) -> None:
    Image.fromarray(shades()).save(tmp_path / "grey.png")
    Image.fromarray(colours()).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png", channels=3), shades()[..., None].repeat(3, 2))
    assert read_picture(tmp_path / "colour.png", channels=1).shape == (12, 20, 1)


def test_only_the_first_frame_of_a_gif_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((5, 5), value, dtype=np.uint8)) for value in (10, 200, 90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_picture(tmp_path / "a.gif") == 10).all()


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert read_picture(tmp_path / name).ravel().tolist() == [0, 1, 128, 255]


def test_numbers_of_32_bits_are_scaled_by_what_holds_them(tmp_path: Path) -> None:
    for values, expected in (
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 7.0, 250.0]], dtype=np.float32), [0, 7, 250]),
        (np.array([[-1.0, 0.0, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.0, 1.0]], dtype=np.float32), [0, 0, 255]),
        (np.array([[-3.0, -3.0]], dtype=np.float32), [0, 0]),
        (np.array([[0, 1, 200]], dtype=np.int32), [0, 1, 200]),
        (np.array([[0, 32_768, 65_535]], dtype=np.int32), [0, 128, 255]),
    ):
        Image.fromarray(values).save(tmp_path / "a.tif")
        assert read_picture(tmp_path / "a.tif").ravel().tolist() == expected


def test_one_bit_and_cmyk(tmp_path: Path) -> None:
    Image.fromarray(shades() > 90).save(tmp_path / "bit.png")
    found = read_picture(tmp_path / "bit.png")
    assert found.shape == (12, 20, 1)
    np.testing.assert_array_equal(found[..., 0], (shades() > 90) * 255)
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "ink.tif")
    assert read_picture(tmp_path / "ink.tif")[0, 0].tolist() == [255, 0, 0]


def test_palettes_of_greys_are_grey_and_others_are_colour(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 2))
    palette.putpalette([5, 5, 5, 90, 90, 90, 200, 0, 0])
    palette.putdata([0, 1, 1, 0])
    palette.save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").tolist() == [[[5], [90]], [[90], [5]]]
    palette.putdata([0, 1, 2, 0])
    palette.save(tmp_path / "colour.png")
    assert read_picture(tmp_path / "colour.png")[1, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L"])
def test_pictures_on_transparent_ground_never_vanish(mode: str, tmp_path: Path) -> None:
    for ink, ground in ((0, 255), (255, 0)):
        alpha = np.zeros((6, 6), dtype=np.uint8)
        alpha[2:4, 2:4] = 255
        image = Image.merge("LA", [Image.new("L", (6, 6), ink), Image.fromarray(alpha)])
        about: dict[str, Any] = {}
        if mode == "RGBA":
            image = image.convert("RGBA")
        elif mode in ("P", "L"):  # one colour is the transparent one
            value = np.where(alpha > 0, ink, 7).astype(np.uint8)
            image, about = Image.fromarray(value), {"transparency": 7}
            image = image.convert("P") if mode == "P" else image
        image.save(tmp_path / "a.png", **about)
        found = read_picture(tmp_path / "a.png", channels=1)[..., 0]
        np.testing.assert_array_equal(found, np.where(alpha > 0, ink, ground))


def test_bytes_of_transparency_in_a_palette_bring_no_warning(tmp_path: Path) -> None:
    palette = Image.fromarray(colours()).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert read_picture(tmp_path / "a.png").shape == (12, 20, 3)  # a warning is an error here


@pytest.mark.parametrize(
    ("suffix", "about"),
    [(".png", {}), (".jpg", {}), (".webp", {}), (".tif", {}), (".tif", {"compression": "tiff_lzw"})],
)
def test_exif_orientation_turns_the_picture(suffix: str, about: dict[str, str], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    for times in (1, 20):  # far larger ones are reduced before they are turned
        left_dark = np.full((16 * times, 32 * times), 255, dtype=np.uint8)
        left_dark[:, : 16 * times] = 0
        Image.fromarray(left_dark).save(tmp_path / f"a{suffix}", exif=exif, **about)
        found = read_picture(tmp_path / f"a{suffix}", (32, 16), channels=1)[..., 0]
        assert found.shape == (32, 16)
        assert found[:12].max() < 30
        assert found[20:].min() > 225


def test_a_picture_of_the_right_size_is_not_touched(tmp_path: Path) -> None:
    Image.fromarray(shades()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (12, 20))[..., 0], shades())


def test_the_aspect_ratio_is_kept_and_the_rest_has_the_borders_colour(tmp_path: Path) -> None:
    for ground, ink in ((0, 255), (255, 0)):
        pixels = np.full((80, 160), ground, dtype=np.uint8)
        pixels[20:60, 60:100] = ink  # a square
        Image.fromarray(pixels).save(tmp_path / "a.png")
        for side in (40, 400):
            found = read_picture(tmp_path / "a.png", (side, side))[..., 0]
            assert (found[: side // 5] == ground).all()
            assert (found[-(side // 5) :] == ground).all()
            painted = np.abs(found.astype(int) - ground) > 128
            height, width = painted.any(axis=1).sum(), painted.any(axis=0).sum()
            assert abs(height - width) <= 1
            assert height == pytest.approx(side / 4, abs=1)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 80, 200]]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").tolist() == [[[9, 80, 200]]]
    assert (read_picture(tmp_path / "a.png", (28, 31)) == [9, 80, 200]).all()
    Image.new("L", (3_000, 1), 5).save(tmp_path / "line.png")
    assert (read_picture(tmp_path / "line.png", (28, 28)) == 5).all()


def refused(path: Path) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path, (28, 28), 1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for share in (0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert refused(path)


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    assert refused(tmp_path / "text.png") == "is no PNG, JPEG, BMP, TIFF, WEBP or GIF file"
    (tmp_path / "empty.jpg").touch()
    assert refused(tmp_path / "empty.jpg") == "is empty"
    assert refused(tmp_path / "none.png") == "does not exist"
    assert refused(tmp_path) == "is no file"
    os.mkfifo(tmp_path / "pipe.png")
    assert refused(tmp_path / "pipe.png") == "is no file"
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "is no PNG" in refused(tmp_path / "drawing.png")  # no Ghostscript


def test_garbage_after_a_good_beginning_never_escapes(tmp_path: Path) -> None:
    rng, read = np.random.default_rng(0), 0
    for suffix in sorted(IMAGE_SUFFIXES):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(colours(40, 40)).save(path)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 8)] = rng.integers(0, 256, 8)
            path.write_bytes(damaged.tobytes())
            try:
                assert read_picture(path, (28, 28), 1).shape == (28, 28, 1)
                read += 1
            except PictureError:
                pass
    assert 0 < read < 40 * len(IMAGE_SUFFIXES)


def bomb(path: Path, side: int) -> Path:
    """A PNG of side × side pixels whose header is all there is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from kmpl.images.decoding import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_picture(Path(sys.argv[1]), (28, 28), 1)\n"
        "except Exception as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    side = int(MAX_PIXELS**0.5) + 1
    for path in (bomb(tmp_path / "far.png", 40_000), bomb(tmp_path / "just.png", side)):
        done = subprocess.run([sys.executable, "-W", "error", "-c", script, path], capture_output=True, text=True)
        reason, megabytes = done.stdout.splitlines()
        assert "at most 120,000,000 are read" in reason
        assert int(megabytes) < 20
        assert done.stderr == ""


def test_many_threads_read_the_same_as_one(tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(0), []
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (30 + i, 40, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    alone = [read_picture(path, (28, 28)) for path in paths]
    before = len(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda path: read_picture(path, (28, 28)), paths * 5))
    assert all((a == b).all() for a, b in zip(alone * 5, together, strict=True))
    assert len(warnings.filters) <= before + 8
