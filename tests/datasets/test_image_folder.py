"""A folder of images: what is read, what it is called, what is left out, and what is refused, with real files."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from deep_files import write_png, write_tiff
from PIL import Image

from kmpl.datasets.image_files import scan
from kmpl.datasets.image_folder import FolderImages, read_folder
from kmpl.datasets.registry import read
from kmpl.datasets.types import UNLABELLED
from kmpl.errors import UserError
from kmpl.formats.given_labels import Rules
from kmpl.images import reading
from kmpl.images.conversion import PLAIN, Conversion
from kmpl.images.transparency import Transparent
from kmpl.images.value_ranges import Extent

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "my images"
    made.mkdir()
    return made


@pytest.fixture
def write(root: Path) -> Write:
    """Return what writes an image of one brightness below the root."""

    def write(name: str, brightness: int = 100, mode: str = "L", size: tuple[int, int] = (20, 20)) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, brightness).convert(mode).save(path)
        return path

    return write


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def csv(content: str | bytes) -> Path:
        path = tmp_path / "labels.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return csv


def named(found: FolderImages) -> dict[str, str]:
    """Return the label of each labelled file."""
    return {f: found.classes[c] for f, c in zip(found.files, found.labels, strict=True) if c != UNLABELLED}


def test_sub_folders_are_labels_and_what_lies_beside_them_has_none(root: Path, write: Write) -> None:
    names = ["b.png", "dog/x.png", "cat/2021/deep one.png", "cat/a.png", "unlabelled/u.png", "a.png", ".hidden/h.png"]
    for i, name in enumerate(names):
        write(name, 40 + i)
    (root / "notes.txt").write_text("no image")
    found = read_folder(root)
    assert found.files == tuple(sorted(set(names) - {".hidden/h.png"}))
    assert named(found) == {"dog/x.png": "dog", "cat/2021/deep one.png": "cat", "cat/a.png": "cat"}
    assert found.classes == ("cat", "dog")
    assert found.images.shape == (6, 1, 32, 32)
    assert found.left_out == {}
    (note,) = found.label_notes
    assert note.startswith("1 image is read as not labelled (1 × 'unlabelled'); to keep one as a class: --class-named ")
    assert found.labels.dtype == np.int64
    for file, image in zip(found.files, found.images, strict=True):
        assert int(image.float().mean()) == 40 + names.index(file), "each image stands at its own file's place"


def test_a_csv_alone_gives_labels_and_sub_folders_are_only_places(root: Path, write: Write, csv: Write) -> None:
    for name in ("batch 1/a.png", "batch 1/b.png", "batch 2/c.png"):
        write(name)
    found = read_folder(root, csv("file,label\nbatch 1/a.png,cat\nbatch 2/c.png,dog\n"))
    assert named(found) == {"batch 1/a.png": "cat", "batch 2/c.png": "dog"}


def test_labels_csv_in_the_folder_is_such_a_csv(root: Path, write: Write) -> None:
    write("one/a.png"), write("b.png")
    (root / "labels.csv").write_text("file,label\nb.png,cat\n")
    assert named(read_folder(root)) == {"b.png": "cat"}


@pytest.mark.parametrize(
    "content",
    [
        "file,label\na.png,cat\nsub dir/b.png,dog\n",
        "\ufefffile,label\r\na.png,cat\r\nsub dir/b.png,dog\r\n",
        "file;label\na.png;cat\nsub dir/b.png;dog\n",
        "File\tLabel\na.png\tcat\nsub dir/b.png\tdog",
        "label,by,file\ncat,me,a.png\n\n dog ,you,./sub dir/../sub dir/b.png\n",
        'file,label\n"a.png","cat"\nsub dir\\b.png,dog\n',
        "file,label\na.png,cat\nsub dir/b.png,\nsub dir/b.png,dog\na.png,cat\n",
    ],
    ids=["plain", "BOM, Windows", "semicolons", "tabs", "further columns, dots", "quotes, backslash", "twice the same"],
)
def test_csvs_as_spreadsheets_write_them(root: Path, write: Write, csv: Write, content: str) -> None:
    write("a.png"), write("sub dir/b.png")
    assert named(read_folder(root, csv(content))) == {"a.png": "cat", "sub dir/b.png": "dog"}


def test_blanks_and_backslashes_may_belong_to_a_name(root: Path, write: Write, csv: Write) -> None:
    for name in (" a.png", "a.png", "b .png", "sub\\a.png", "sub/a.png", "sub/c.png", "cafe\u0301.png"):
        write(name)
    given = {" a.png": "1", "a.png": "2", "b .png": "3", "sub\\a.png": "4", "sub/a.png": "5"}
    lines = "".join(f"{file},{label}\n" for file, label in given.items())
    found = read_folder(root, csv(f"file,label\n{lines}sub\\c.png ,6\n caf\u00e9.png,7\n"))
    assert named(found) == given | {"sub/c.png": "6", "cafe\u0301.png": "7"}


def test_an_absolute_path_into_the_folder_and_an_empty_label_are_all_right(
    root: Path, write: Write, csv: Write
) -> None:
    write("a.png"), write("b.png")
    assert named(read_folder(root, csv(f"file,label\n{root}/a.png,cat\nb.png,\n"))) == {"a.png": "cat"}


@pytest.mark.parametrize("name", ["a/b", "a,b", "🐈", "Ärger", "=1+1"])
def test_a_class_may_be_called_anything(root: Path, write: Write, csv: Write, name: str) -> None:
    write("a.png")
    assert read_folder(root, csv(f'file,label\na.png,"{name}"\n')).classes == (name,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("file,label\nx.png,cat\na.png,dog\ny.png,cat\n", r"line 2: .* has no image x.png \(and 1 more"),
        ("file,label\nnotes.txt,cat\n", "has no image notes.txt"),
        ("file,label\na.png,cat\na.png,dog\n", "line 3: a.png is 'dog' here and 'cat' in line 2"),
        ("file,label\n../secret.png,cat\n", r"line 2: ../secret.png is outside"),
        ("file,label\nsub/../../secret.png,cat\n", "is outside"),
        ("file,label\n/etc/secret.png,cat\n", "line 2: /etc/secret.png is outside"),
        ("file,label\nC:\\secret.png,cat\n", "is outside"),
        ("a.png,cat\nb.png,dog\n", "must name the columns file and label; it is 'a.png,cat'"),
        ("", "must name the columns file and label"),
        ("file,label\na.png\n", "line 2: has 1 of 2 columns"),
        ("file,label\n,cat\n", "line 2: names no file"),
        ("file,label\na.png,caf\xe9\n".encode("latin-1"), "no text in UTF-8"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(
    root: Path, write: Write, csv: Write, content: str | bytes, said: str
) -> None:
    write("a.png"), write("b.png")
    (root / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=said):
        read_folder(root, csv(content))


def test_a_csv_that_is_not_there_is_refused(root: Path, write: Write) -> None:
    write("a.png")
    with pytest.raises(UserError, match=r"cannot read .*none.csv: No such file"):
        read_folder(root, root / "none.csv")


def bomb(side: int) -> bytes:
    """Return a small PNG that says it has a billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_unreadable_files_are_left_out_and_named(root: Path, write: Write) -> None:
    write("good.jpg", size=(300, 200))
    data = (root / "good.jpg").read_bytes()
    (root / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (root / "text.png").write_text("not an image at all")
    (root / "empty.png").touch()
    (root / "nowhere.png").symlink_to(root / "gone.png")
    (root / "phone.heic").write_bytes(b"x")
    os.mkfifo(root / "pipe.png")  # opening it would wait for ever
    (root / "bomb.png").write_bytes(bomb(40_000))
    write("one pixel.png", size=(1, 1))
    found = read_folder(root)
    assert found.files == ("good.jpg", "one pixel.png")
    named = {"truncated.jpg", "text.png", "empty.png", "nowhere.png", "pipe.png", "bomb.png", "phone.heic"}
    assert set(found.left_out) == named
    assert all(found.left_out.values())
    assert "too many pixels" in found.left_out["bomb.png"]


def test_a_folder_without_a_readable_image_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="no image in it or below it"):
        read_folder(root)
    (root / "text.png").write_text("not an image at all")
    with pytest.raises(UserError, match=r"none of 1 images can be read; text.png: "):
        read_folder(root)
    with pytest.raises(UserError, match="there is no such folder"):
        read_folder(root / "none")
    with pytest.raises(UserError, match="is a file"):
        read_folder(root / "text.png")


def test_a_sub_folder_that_may_not_be_read_is_left_out_by_name(
    root: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png"), write("closed/b.png")
    scandir = os.scandir

    def refusing(path: Path) -> object:  # the superuser, who may run this, is refused nothing
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = read_folder(root)
    assert found.files == ("a.png",)
    assert found.left_out == {"closed/": "the folder cannot be read: Permission denied"}
    monkeypatch.setattr(os, "scandir", lambda path: refusing(Path(path) / "closed"))
    with pytest.raises(UserError, match=r"cannot read the folder .*my images: Permission denied"):
        read_folder(root)


def test_loops_of_links_end_and_no_image_comes_twice(root: Path, write: Write, tmp_path: Path) -> None:
    write("cat/a.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    (root / "copy of cat").symlink_to(root / "cat")
    other = tmp_path / "elsewhere"
    (other / "below").mkdir(parents=True)
    Image.new("L", (4, 4)).save(other / "below" / "b.png")
    (other / "below" / "loop").symlink_to(other / "below")
    (other / "parent").symlink_to(tmp_path)
    (root / "dog").symlink_to(other)
    assert scan(root)[0] == ["cat/a.png", "dog/below/b.png"]


def test_grey_if_all_are_grey_colour_if_one_is_not(root: Path, write: Write) -> None:
    write("a.png"), write("b.png", mode="RGB")
    assert read_folder(root).images.shape == (2, 1, 32, 32)
    Image.new("RGB", (8, 8), (200, 30, 10)).save(root / "c.png")
    found = read_folder(root, size=16)
    assert found.images.shape == (3, 3, 16, 16)
    assert found.images[2, :, 8, 8].tolist() == [200, 30, 10]
    assert found.images[0, :, 8, 8].tolist() == [100, 100, 100]
    assert read_folder(root, channels=1).images.shape == (3, 1, 32, 32)
    assert read_folder(root, channels=3).images.shape == (3, 3, 32, 32)


def test_the_order_does_not_depend_on_the_threads(root: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i:02}.png" for i in range(12)]
    for i, name in enumerate(names):
        write(name, 10 * i)
    inner = reading.read_undecided

    def first_is_slowest(path: Path, *more: object) -> np.ndarray | Transparent | Extent:
        time.sleep(0.03 if path.stem < "03" else 0)
        return inner(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "cores", lambda: 4)
    monkeypatch.setattr(reading, "read_undecided", first_is_slowest)
    told: list[tuple[int, int]] = []
    found = read_folder(root, on_progress=lambda done, total: told.append((done, total)))
    assert found.files == tuple(names)
    assert [int(image.float().mean()) for image in found.images] == [10 * i for i in range(12)]
    assert told == [(i, 12) for i in range(1, 13)]


def test_assigned_labels_count_as_given_only_where_a_person_says_so(root: Path, write: Write, csv: Write) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write(name)
    path = csv("file,label,confidence,source\na.png,cat,1,given\nb.png,dog,0.9,assigned\nc.png,,0.1,\n")
    with pytest.raises(UserError, match="--trust assigned"):
        read_folder(root, path)
    assert named(read_folder(root, path, rules=Rules(trust="given"))) == {"a.png": "cat"}
    assert named(read_folder(root, path, rules=Rules(trust="assigned"))) == {"a.png": "cat", "b.png": "dog"}
    found = read_folder(root, csv("file,label,source\na.png,cat,given\nb.png,dog,assigned\nc.png,owl,\n"))
    assert found.classes == ("cat", "dog", "owl")
    assert len(found.label_notes) == 1


def test_copies_with_different_labels_are_listed(root: Path, write: Write, csv: Write) -> None:
    for name in ("a.png", "b.png", "c.png", "copy.png"):
        write(name, 77 if name in ("a.png", "b.png", "copy.png") else 5)
    found = read_folder(root, csv("file,label\na.png,cat\nb.png,dog\nc.png,dog\n"))
    assert found.conflicts == [("a.png", "b.png")]
    assert found.digests[0] == found.digests[3]
    assert read_folder(root, csv("file,label\na.png,cat\nb.png,cat\nc.png,dog\n")).conflicts == []


def test_pictures_without_a_suffix_are_read_counted_and_named(root: Path, write: Write, csv: Write) -> None:
    for number in range(12):
        write(f"cat/{number:02}.png", number).rename(root / "cat" / f"{number:02}")
    write("dog/a.png"), write("dog/b.png").rename(root / "dog" / "b.dat")
    (root / "dog" / "LICENSE").write_text("no picture")
    found = read_folder(root)
    assert len(found.files) == 14
    assert found.left_out == {}
    (said,) = found.reading_notes
    assert said.startswith("13 files are images by their content, not by their names, and are read: cat/00, cat/01,")
    assert said.endswith(", and 8 more")
    assert named(read_folder(root, csv("file,label\ncat/03,lynx\n"))) == {"cat/03": "lynx"}


def test_nothing_is_said_of_a_folder_of_plain_files(root: Path, write: Write) -> None:
    write("a.png"), write("b.jpg", mode="RGB")
    found = read_folder(root)
    assert (found.reading_notes, found.conversion) == ((), PLAIN)


def test_a_folder_of_other_kinds_alone_says_what_would_help(root: Path) -> None:
    (root / "b.dcm").write_bytes(bytes(200))
    (root / "a.heic").write_bytes(bytes(200))
    with pytest.raises(
        UserError, match=r"no image in it .* 2 files are left out, the first: a.heic is not .*heif-conv"
    ):
        read_folder(root)


def test_folders_that_systems_make_are_no_classes(root: Path, write: Write) -> None:
    write("cat/a.png"), write("dog/b.png")
    for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", ".thumbs", "#recycle", "$RECYCLE.BIN", "lost+found"):
        write(f"{name}/c.png"), write(f"cat/{name}/a.png/SYNOPHOTO_THUMB_M.jpg")
    (root / "link").mkdir()
    (root / "link" / "@eaDir").symlink_to(root.parent)
    found = read_folder(root)
    assert found.files == ("cat/a.png", "dog/b.png")
    assert found.classes == ("cat", "dog")


@pytest.mark.parametrize("threads", [1, 4])
def test_digits_in_files_of_16_bits_are_the_same_whatever_bits_they_use(
    threads: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "cores", lambda: threads)
    digits = read("MNIST", True).images[:40, 0].numpy().astype(float)
    for bits in (16, 12, 10):
        for number, digit in enumerate(digits):
            values = (digit / 255 * (2**bits - 1)).round().astype(np.uint16)
            write_png(root / f"{number:02}.png", values)
            if number % 3 == 0:  # others of the same kind: another order of bytes, and colour beside grey
                write_tiff(root / f"{number:02}.png", values, "<>"[number % 2])
            elif number % 3 == 1:
                write_png(root / f"{number:02}.png", values[..., None].repeat(3, axis=2))
        found = read_folder(root, size=28)
        assert found.conversion == Conversion({"16-bit": (0, 2**bits - 1)})
        assert found.images.shape == (40, 1, 28, 28)
        assert np.abs(found.images[:, 0].numpy() - digits).max() <= 1
        assert found.reading_notes == (
            f"16-bit pictures (40) use {bits} bits: 0 is read as black, {2**bits - 1:,} as white",
        )


def test_one_picture_without_data_does_not_decide_for_a_folder_of_floating_point(root: Path) -> None:
    digits = read("MNIST", True).images[:20, 0].numpy().astype(np.float32) / 255
    for number, digit in enumerate(digits):
        values = digit * (1.02 if number % 2 else 1)
        values[0, 0] = (0, np.inf, np.nan, -9999)[number % 4]
        write_tiff(root / f"{number:02}.tif", values, "<>"[number % 2], packed=number > 9)
    found = read_folder(root, size=28)
    assert found.conversion == Conversion({"floating-point": (0, 1)})
    assert np.abs(found.images[:, 0].numpy() / 255 - digits).max() < 0.03


def test_shallow_files_are_read_once_and_deep_ones_counted_twice(
    root: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png"), write("c.png")
    write_png(root / "b.png", np.array([[0, 900], [500, 7]], dtype=np.uint16))
    inner = reading.read_undecided

    def marked(path: Path, *more: object) -> np.ndarray | Transparent | Extent:
        found = inner(path, *more)  # type: ignore[arg-type]
        return np.full((32, 32, 1), 1) if path.stem == "b" and not isinstance(found, Extent) else found

    monkeypatch.setattr(reading, "read_undecided", marked)
    told: list[tuple[int, int]] = []
    found = read_folder(root, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3), (4, 4)]
    assert [int(image.max()) for image in found.images] == [100, 1, 100]
