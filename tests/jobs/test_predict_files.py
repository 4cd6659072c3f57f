"""Files are found and read in their order, what cannot be read is named, and each line says what the model said."""

import csv
import io
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmpl.jobs import predict_files
from kmpl.jobs.predict_files import csv_header, csv_line, find_pictures, json_line, prediction_texts, read_batches
from kmpl.models.classifier import Classifier, largest_difference, probes


def brightness(images: np.ndarray) -> np.ndarray:
    """Say how dark and how bright images are: a classifier whose answers are known."""
    bright = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([1 - bright, bright], axis=1).astype(np.float32)


MODEL = Classifier(classes=("dark", "bright"), raw_shape=(1, 4, 6), classify=brightness)


def paint(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 4), shade).save(path)
    return path


def test_folders_are_walked_and_files_taken_as_they_are_named(tmp_path: Path) -> None:
    inside = [paint(tmp_path / "in" / name, 5) for name in ("a.png", "b.JPG", "deep/er/c.tiff", "z z.webp")]
    paint(tmp_path / "in" / ".hidden.png", 5)
    paint(tmp_path / "in" / ".cache" / "d.png", 5)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    odd = tmp_path / "picture"
    paint(tmp_path / "p.png", 5).rename(odd)
    apart = paint(tmp_path / "apart" / "e.png", 5)
    (tmp_path / "in" / "zz").symlink_to(apart.parent)
    inside.append(tmp_path / "in" / "zz" / "e.png")
    files, left_out = find_pictures([odd, tmp_path / "in", tmp_path / "in" / "a.png", odd])
    assert files == [odd, *inside], "a folder that lies elsewhere is read through its link, the loop is not"
    assert left_out == {}


def test_images_without_a_suffix_are_found_and_other_kinds_are_named(tmp_path: Path) -> None:
    odd = paint(tmp_path / "a.png", 5).rename(tmp_path / "a")
    plain = paint(tmp_path / "b.png", 5)
    paint(tmp_path / "@eaDir" / "b.png" / "SYNOPHOTO_THUMB_M.jpg", 5)
    (tmp_path / "c.heic").write_bytes(bytes(99))
    (tmp_path / "LICENSE").write_text("no image")
    by_content: list[Path] = []
    files, left_out = find_pictures([tmp_path], by_content.append)
    assert files == [odd, plain]
    assert by_content == [odd]
    assert list(left_out) == [tmp_path / "c.heic"]
    assert "heif-convert" in left_out[tmp_path / "c.heic"]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    files, left_out = find_pictures([tmp_path / "empty"])
    assert files == []
    assert "no image in it" in left_out[tmp_path / "empty"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everywhere")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    closed = paint(tmp_path / "in" / "closed" / "a.png", 5).parent
    closed.chmod(0)
    try:
        assert find_pictures([tmp_path / "in"])[1][closed] == "Permission denied"
    finally:
        closed.chmod(0o700)


def test_batches_keep_the_order_and_name_what_is_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_files, "BATCH", 8)
    files = [paint(tmp_path / f"{i:02d}.png", 10 * i) for i in range(21)]
    for i in (3, *range(8, 16)):  # one batch has nothing
        files[i].write_bytes(b"damaged")
    unread: dict[Path, str] = {}
    batches = list(read_batches(MODEL, files, unread.__setitem__))
    assert [done for _, _, done in batches] == [8, 16, 21]
    assert [len(kept) for kept, _, _ in batches] == [7, 0, 5]
    assert list(unread) == [files[i] for i in (3, *range(8, 16))]
    for kept, images, _ in batches:
        assert [int(image[0, 0]) for image in images] == [10 * int(path.stem) for path in kept]


def test_an_abandoned_generator_leaves_no_reading_thread_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_files, "BATCH", 4)
    batches = read_batches(MODEL, [paint(tmp_path / f"{i}.png", 1) for i in range(40)], lambda *_: None)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_large_images_come_in_smaller_batches(tmp_path: Path) -> None:
    large = Classifier(classes=("a", "b"), raw_shape=(3, 4096, 4096), classify=brightness)
    files = [paint(tmp_path / f"{i}.png", 1) for i in range(3)]
    assert [images.shape for _, images, _ in read_batches(large, files, print)] == [(1, 4096, 4096, 3)] * 3


def test_csv_says_class_and_probabilities_by_name() -> None:
    classes = ("cat", 'a "dog", big', "🙂")
    text = csv_header(classes) + csv_line(Path("in/a, b.png"), classes, np.array([0.2, 0.7, 0.1], dtype=np.float32))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row == {
        "file": "in/a, b.png",
        "class": 'a "dog", big',
        "probability": "0.700000",
        "p_cat": "0.200000",
        'p_a "dog", big': "0.700000",
        "p_🙂": "0.100000",
    }


def test_json_says_the_same() -> None:
    line = json_line(Path("a\nb.png"), ("cat", "dog"), np.array([0.25, 0.75], dtype=np.float32))
    assert line.count("\n") == 1
    expected = {"file": "a\nb.png", "class": "dog", "probability": 0.75, "probabilities": {"cat": 0.25, "dog": 0.75}}
    assert json.loads(line) == expected


@pytest.mark.parametrize("damaged", [(), (0, 1), (4,), (2, 3, 4)])
def test_each_form_is_whole_whichever_files_are_damaged(
    damaged: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_files, "BATCH", 2)
    files = [paint(tmp_path / f"{i}.png", 50 * i) for i in range(5)]
    for i in damaged:
        files[i].write_bytes(b"")
    good = [i for i in range(5) if i not in damaged]

    def text(form: str) -> str:
        pieces = list(prediction_texts(MODEL, files, form=form, on_unreadable=lambda *_: None))
        assert sum(count for _, count, _ in pieces) == len(good)
        return "".join(piece for _, _, piece in pieces)

    rows = list(csv.DictReader(io.StringIO(text("csv"))))
    assert [row["file"] for row in rows] == [str(files[i]) for i in good]
    assert [float(row["p_bright"]) for row in rows] == pytest.approx([50 * i / 255 for i in good], abs=1e-6)
    lines = [json.loads(line) for line in text("json").splitlines()]
    assert [line["class"] for line in lines] == ["bright" if 50 * i > 127 else "dark" for i in good]
    assert np.array(json.loads(text("request"))["inputs"]).tolist() == [[[50 * i] * 6] * 4 for i in good]


def test_without_an_image_nothing_is_written(tmp_path: Path) -> None:
    for form in ("csv", "json", "request"):
        assert (
            "".join(
                piece
                for _, _, piece in prediction_texts(
                    MODEL, [tmp_path / "none.png"], form=form, on_unreadable=lambda *_: None
                )
            )
            == ""
        )


def test_probes_tell_models_apart() -> None:
    images = probes((1, 30, 28))
    assert images.shape == (26, 30, 28)
    assert probes((3, 9, 5)).shape == (26, 9, 5, 3)
    assert len({image.tobytes() for image in images}) == len(images)
    grey = Classifier(classes=("dark", "bright"), raw_shape=(1, 30, 28), classify=brightness)
    other = Classifier(
        classes=("dark", "bright"), raw_shape=(1, 30, 28), classify=lambda images: brightness(images[:, 1:])
    )
    assert largest_difference(grey, grey) == 0
    assert largest_difference(grey, other) > 1e-3
