"""Small copies of pictures: made once, kept by content, and never in the way."""

import io
from pathlib import Path

import pytest
from PIL import Image
from reviewing import write_digits

from kmpl.datasets.image_folder import read_folder
from kmpl.review import thumbnails
from kmpl.review.thumbnails import LARGE_PIXELS, THUMBNAIL_PIXELS, Thumbnails


def test_a_copy_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = read_folder(write_digits(tmp_path, 2).folder)
    pictures = Thumbnails(images, tmp_path / "cache")
    first = pictures.small(0)
    assert first.media_type == "image/png", "a digit's pixels stay sharp"
    monkeypatch.setattr(thumbnails, "read_picture", lambda *_, **__: pytest.fail("the picture was read again"))
    assert Thumbnails(images, tmp_path / "cache").small(0) == first


def test_a_large_picture_becomes_small(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (1500, 500), "red").save(tmp_path / "photos" / "wide.png")
    pictures = Thumbnails(read_folder(tmp_path / "photos"), tmp_path / "cache")
    small, large = pictures.small(0), pictures.large(0)
    assert small.media_type == large.media_type == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) == THUMBNAIL_PIXELS
    assert max(Image.open(io.BytesIO(large.content)).size) == LARGE_PIXELS


def test_a_crossed_square_stands_for_a_picture_that_is_gone(tmp_path: Path) -> None:
    images = read_folder(write_digits(tmp_path, 2).folder)
    (images.root / images.files[1]).unlink()
    picture = Thumbnails(images, tmp_path / "cache").small(1)
    assert picture.is_missing
    assert picture.media_type == "image/svg+xml"


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    images = read_folder(write_digits(tmp_path, 2).folder)
    (tmp_path / "cache").write_text("a file, where the folder should be")
    assert Thumbnails(images, tmp_path / "cache").small(0).content
