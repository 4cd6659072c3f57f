"""The true numbers of pictures of more than 8 bits: whatever the order of bytes, the packing and the colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deep_files import write_png, write_tiff
from PIL import Image

from kmpl.images import decoding
from kmpl.images.conversion import Conversion
from kmpl.images.decoding import PictureError, read_picture, read_undecided
from kmpl.images.deep_pictures import Deep
from kmpl.images.value_ranges import Extent

RNG = np.random.default_rng(0)
TEN = {"16-bit": (0.0, 1023.0)}


def numbers(path: Path) -> Deep:
    """Return what is in a deep picture."""
    found = decoding._decode(path, None, lambda found: found)
    assert isinstance(found, Deep)
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f4"])
def test_the_order_of_the_bytes_changes_nothing(kind: str, packed: bool, tmp_path: Path) -> None:
    values = (RNG.integers(0, 30_000, (7, 9)) - (15_000 if kind[0] != "u" else 0)).astype(kind)
    for order in "<>":
        found = numbers(write_tiff(tmp_path / "a.tif", values, order, packed))
        np.testing.assert_array_equal(found.values, values)
        assert found.values.dtype.isnative
    if kind == "u4":
        large = np.array([[0, 2**32 - 1]], dtype=np.uint32)
        assert numbers(write_tiff(tmp_path / "a.tif", large, order, packed)).extent.high == 2**32 - 1


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_keeps_all_its_bits(channels: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 65_536, (9, 8, channels)).astype(np.uint16)
    files = [write_png(tmp_path / "a.png", values)]
    for order in "<>":
        for packed in (False, True):
            files.append(write_tiff(tmp_path / f"{'le' if order == '<' else 'be'}{packed}.tif", values, order, packed))
    for file in files:
        found = numbers(file)
        np.testing.assert_array_equal(found.values, values[..., :3])
        if channels == 4:
            np.testing.assert_array_equal(found.alpha, values[..., 3])


def test_grey_with_alpha_keeps_all_its_bits(tmp_path: Path) -> None:
    values = RNG.integers(0, 65_536, (6, 5, 2)).astype(np.uint16)
    found = numbers(write_png(tmp_path / "a.png", values))
    np.testing.assert_array_equal(found.values, values[..., 0])
    np.testing.assert_array_equal(found.alpha, values[..., 1])


def test_colour_and_grey_are_scaled_alike(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 511, 1023]], dtype=np.uint16)
    colour = grey[..., None].repeat(3, axis=2)
    for name, values in (("grey", grey), ("colour", colour)):
        for file in (write_png(tmp_path / f"{name}.png", values), write_tiff(tmp_path / f"{name}.tif", values, ">")):
            assert read_picture(file, channels=1, conversion=Conversion(TEN)).ravel().tolist() == [0, 25, 127, 255]


@pytest.mark.parametrize("opaque", [1023, 65_535])
def test_transparent_pixels_show_their_ground_and_do_not_count_for_the_range(opaque: int, tmp_path: Path) -> None:
    values = np.zeros((4, 4, 4), dtype=np.uint16)
    values[..., :3] = 60_000  # where nothing is painted
    values[1:3, 1:3] = 200, 200, 200, opaque
    path = write_png(tmp_path / "a.png", values)
    assert read_undecided(path, (4, 4)) == Extent("16-bit", 200.0, 200.0)
    found = read_picture(path, channels=1, conversion=Conversion(TEN))[..., 0]
    assert found[0, 0] == 255
    assert found[1, 1] == 50


def test_where_white_is_zero_it_is_shown_as_white(tmp_path: Path) -> None:
    values = np.array([[0, 512, 1023]], dtype=np.uint16)
    for order in "<>":
        path = write_tiff(tmp_path / "a.tif", values, order, photometric=0)
        assert read_picture(path, conversion=Conversion(TEN)).ravel().tolist() == [255, 127, 0]


def test_nan_is_black_and_does_not_count_for_the_range(tmp_path: Path) -> None:
    for none in (np.nan, np.inf, -np.inf, -9999, -32_768, 1e20, -3.4028235e38):
        values = np.array([[0.0, 0.5, 1.02, none]], dtype=np.float32)
        path = write_tiff(tmp_path / "a.tif", values)
        extent = read_undecided(path, (4, 4))
        assert isinstance(extent, Extent)
        assert (extent.kind, extent.low) == ("floating-point", 0.0)
        assert extent.high == pytest.approx(1.02)
        assert read_picture(path, conversion=Conversion({"floating-point": (0.0, 1.0)})).ravel().tolist() == [
            0,
            128,
            255,
            0,
        ]
    tagged = write_tiff(tmp_path / "a.tif", np.array([[0, 7, 9]], dtype=np.uint16), no_data=9)
    assert read_undecided(tagged, (4, 4)) == Extent("16-bit", 0.0, 7.0)
    assert read_picture(tagged, conversion=Conversion({"16-bit": (0.0, 7.0)})).ravel().tolist() == [0, 255, 0]
    nothing = write_tiff(tmp_path / "a.tif", np.full((2, 2), np.nan, dtype=np.float32))
    assert (read_picture(nothing) == 0).all()


def test_there_is_no_cliff_from_picture_to_picture(tmp_path: Path) -> None:
    for kind, pairs in (("f4", ((1.0, 1.02), (255.0, 256.0))), ("i4", ((255, 256), (1023, 1024)))):
        for below, above in pairs:
            span = {"floating-point": (0.0, below), "32-bit": (0.0, below)}
            for high in (below, above):
                path = write_tiff(tmp_path / "a.tif", np.array([[0, high / 2, high]]).astype(kind))
                found = read_picture(path, conversion=Conversion(span)).ravel().tolist()
                assert found[2] == 255
                assert abs(found[1] - 128) <= 2


def test_one_hot_pixel_in_a_thousand_says_nothing(tmp_path: Path) -> None:
    values = RNG.integers(0, 900, (50, 50)).astype(np.uint16)
    values[3, 4] = values[9, 9] = 65_535
    found = read_undecided(write_png(tmp_path / "a.png", values), (8, 8))
    assert isinstance(found, Extent)
    assert found.high < 900


def test_exif_turns_sixteen_bits_too(tmp_path: Path) -> None:
    values = np.array([[0, 65_535], [0, 65_535]], dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png")[..., 0].tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize(
    ("values", "tags", "reason"),
    [
        (np.zeros((4, 4)), {}, "is a TIFF of 64-bit floating-point numbers, which is not read here: save it as"),
        (np.zeros((4, 4), dtype=np.float16), {}, "is a TIFF of 16-bit floating-point numbers, which"),
        (np.zeros((4, 4, 3), dtype=np.float32), {}, "is a TIFF of 32-bit floating-point numbers, 3 channels, which"),
        (np.zeros((4, 4, 3), dtype=np.uint32), {}, "is a TIFF of 32-bit whole numbers, 3 channels, which"),
        (np.zeros((4, 4, 3), dtype=np.uint16), {"planar": 2}, "is a TIFF of 16 bits a channel with its colours in sep"),
        (np.zeros((4, 4), dtype=np.uint16), {"photometric": 32_803}, "is a TIFF of a camera's raw numbers, which"),
    ],
)
def test_unsupported_deep_pictures_are_refused_with_the_true_reason(
    values: np.ndarray, tags: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    for order in "<>":
        with pytest.raises(PictureError) as caught:
            read_picture(write_tiff(tmp_path / "a.tif", values, order, **tags))
        assert str(caught.value).startswith(reason)


def test_without_a_range_a_picture_has_its_own_but_sixteen_bits_are_full(tmp_path: Path) -> None:
    asked: list[str] = []
    path = write_png(tmp_path / "a.png", np.array([[0, 1023]], dtype=np.uint16))
    assert read_picture(path, on_unknown_kind=asked.append).ravel().tolist() == [0, 4]
    assert read_picture(path, conversion=Conversion(TEN), on_unknown_kind=asked.append).ravel().tolist() == [0, 255]
    path = write_tiff(tmp_path / "a.tif", np.array([[0, 500, 1000]], dtype=np.float32))
    assert read_picture(path, on_unknown_kind=asked.append, conversion=Conversion(TEN)).ravel().tolist() == [
        0,
        128,
        255,
    ]
    assert asked == ["16-bit", "floating-point"]
