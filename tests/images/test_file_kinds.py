"""What a file is, by its name and its first bytes: with real files of those that are read, and the marks of others."""

import os
from pathlib import Path

import pytest
from PIL import Image

from kmpl.images.decoding import PictureError, read_picture
from kmpl.images.file_kinds import FORMATS, PictureFile, format_of, identify


def other(path: Path, head: bytes) -> str:
    """Return why a file that begins like this is not read."""
    path.write_bytes(head + bytes(200))
    seen = identify(path)
    assert seen is not None
    assert not seen.by_content
    return seen.unreadable


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_known_by_its_content_whatever_the_name(name: str, tmp_path: Path) -> None:
    for file in ("picture", "1.2.840.113", "a.dat", "a.png~"):
        Image.new("L", (4, 4)).save(tmp_path / file, format=name)
        assert identify(tmp_path / file) == PictureFile(by_content=True)
        assert format_of((tmp_path / file).read_bytes()[:132]) == name
    Image.new("L", (4, 4)).save(tmp_path / "a.heic", format=name)  # as some telephones export
    seen = identify(tmp_path / "a.heic")
    assert seen is not None
    assert seen.by_content == (name != "TIFF")  # what is a raw file begins like a TIFF


@pytest.mark.parametrize(
    ("suffix", "helps"),
    [
        (".tga", "save it as PNG or JPEG"),
        (".dng", "develop it"),
        (".arw", "develop it"),
        (".dcm", "16-bit PNG"),
        (".npy", "PIL.Image.fromarray"),
        (".heic", "heif-convert"),
        (".jxl", "djxl"),
        (".avif", "avifdec"),
        (".JP2", "opj_decompress"),
        (".nii.gz", "its slices"),
        (".svg", "at the size"),
        (".czi", "Fiji"),
    ],
)
def test_other_kinds_are_named_with_what_would_help(suffix: str, helps: str, tmp_path: Path) -> None:
    said = other(tmp_path / f"a b{suffix}", b"II*\0")
    assert said.startswith("is not read here: ")
    assert helps in said


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (bytes(4) + b"ftypheic", "HEIF"),
        (bytes(4) + b"ftypavif", "AVIF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\x93NUMPY", "an array"),
        (b"8BPS", "layers"),
    ],
)
def test_they_are_known_by_content_too_even_under_the_name_of_a_jpeg(head: bytes, kind: str, tmp_path: Path) -> None:
    assert kind in other(tmp_path / "IM000001", head)
    (tmp_path / "a.jpg").write_bytes(head + bytes(200))
    with pytest.raises(PictureError, match=f"is not read here: .*{kind}"):
        read_picture(tmp_path / "a.jpg")


def test_files_that_are_no_pictures_are_passed_over(tmp_path: Path) -> None:
    for name, content in (("README", "BM of all"), ("notes.txt", "text"), ("empty", ""), ("model.pt", "PK")):
        (tmp_path / name).write_text(content)
        assert identify(tmp_path / name) is None
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert identify(tmp_path / "pipe") is None
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    seen = identify(tmp_path / "nowhere")
    assert seen is not None
    assert "cannot be opened" in seen.unreadable
