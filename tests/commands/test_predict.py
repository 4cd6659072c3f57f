"""`kmpl predict` and `kmpl export` as a person meets them, on models in files and real pictures."""

import csv
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_files import write_png
from PIL import Image
from tiny_networks import CLASSES, network_for

from kmpl.cli import main
from kmpl.datasets import registry
from kmpl.models.model_file import Description, write_model
from kmpl.models.raw_image_classifier import RawImageClassifier

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """(12, 28, 28) uint8."""
    return registry.read("MNIST", True).images[:12, 0].numpy()


@pytest.fixture
def folder(tmp_path: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of grey and one of colour pictures, and twelve digits as PNG files below it."""
    for channels, name in ((1, "model"), (3, "colour")):
        about = Description(network="cnn", classes=CLASSES, raw_shape=(channels, 28, 28), size=28)
        write_model(network_for(channels), about, tmp_path / f"{name}.safetensors")
    for i, pixels in enumerate(digits):
        path = tmp_path / "digits" / ("a" if i < 6 else "b") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(digits: np.ndarray) -> np.ndarray:
    """What PyTorch says of the arrays themselves, (12, 3)."""
    with torch.inference_mode():
        return RawImageClassifier(network_for(1), 28)(torch.from_numpy(digits)).numpy()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_pytorchs_probabilities_of_the_same_pixels(
    folder: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "digits", "--model", "model.safetensors"]) == 0
    printed = capsys.readouterr()
    rows, wanted = rows_of(printed.out), expected(digits)
    assert printed.err == ""
    assert [row["file"] for row in rows] == [f"digits/{'a' if i < 6 else 'b'}/{i:02d}.png" for i in range(12)]
    found = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert [row["class"] for row in rows] == [CLASSES[c] for c in wanted.argmax(axis=1)]
    assert wanted.std(axis=0).max() > 1e-4
    assert main(["predict", "digits", "--model", "model.safetensors", "--out", "found.csv"]) == 0
    assert (folder / "found.csv").read_text(encoding="utf-8") == printed.out


def test_unusual_files_are_told_in_a_line_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(folder / "digits" / "deep", np.zeros((28, 28), dtype=np.uint16))
    assert main(["predict", "digits", "--model", "model.safetensors"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first == "kmpl: 1 file is an image by its content, not by its name, and is read: digits/deep"
    assert second.startswith("kmpl: the model was trained on no 16-bit pictures and has no range for them: 0 is read")


def test_json_lines_say_the_same(folder: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "digits"), "--model", "model.safetensors", "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["file"] == str(folder / "digits" / "a" / "00.png")
    found = np.array([[line["probabilities"][name] for name in CLASSES] for line in lines])
    np.testing.assert_allclose(found, expected(digits), atol=1e-6)


@pytest.mark.usefixtures("folder")
def test_a_request_has_the_pixels_themselves(digits: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "digits", "--model", "model.safetensors", "--format", "request"]) == 0
    np.testing.assert_array_equal(np.array(json.loads(capsys.readouterr().out)["inputs"]), digits)


def test_pictures_of_other_sizes_and_channels_are_brought_to_the_models(
    folder: Path, digits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    large = Image.fromarray(digits[0]).resize((280, 280), Image.Resampling.NEAREST).convert("RGB")
    large.save(folder / "large.jpg", quality=95)
    Image.new("L", (1, 1)).save(folder / "one.gif")
    assert main(["predict", "large.jpg", "one.gif", "--model", "model.safetensors"]) == 0
    found = rows_of(capsys.readouterr().out)
    assert float(found[0]["p_cat"]) == pytest.approx(float(expected(digits)[0, 0]), abs=2e-3)
    assert main(["predict", "digits", "large.jpg", "--model", "colour.safetensors"]) == 0
    assert len(rows_of(capsys.readouterr().out)) == 13


def test_unreadable_files_are_named_and_the_others_predicted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "digits" / "a" / "02.png").write_text("no picture")
    whole = (folder / "digits" / "b" / "07.png").read_bytes()
    (folder / "digits" / "b" / "07.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty").mkdir()
    assert main(["predict", "digits", "none.png", "empty", "--model", "model.safetensors", "--out", "found.csv"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(rows_of((folder / "found.csv").read_text(encoding="utf-8"))) == 10
    lines = printed.err.splitlines()
    assert lines[0].startswith("left out empty: no image in it")
    assert lines[1] == "left out digits/a/02.png: is no PNG, JPEG, BMP, TIFF, WEBP or GIF file"
    assert lines[2].startswith("left out digits/b/07.png: cannot be decoded: ")
    assert lines[3] == "left out none.png: does not exist"
    assert lines[4:] == ["kmpl: 10 predicted, 4 left out"]


def test_without_a_readable_file_no_output_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text.png").write_text("no picture")
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    for path, line in (
        ("text.png", "none of the files could be read; nothing is predicted"),
        ("empty", "there is no image to predict"),
    ):
        assert main(["predict", path, "--model", "model.safetensors", "--out", "found.csv"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.splitlines()[-1] == f"kmpl: {line}"
    assert sorted(folder.rglob("*")) == before


def test_names_that_are_no_utf8_keep_their_bytes(folder: Path) -> None:
    odd = os.fsdecode(b"digits/\xff, \n.png")
    (folder / "digits" / "a" / "00.png").rename(folder / odd)
    command = [sys.executable, "-m", "kmpl.cli", "predict", odd, "--model", "model.safetensors"]
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split(b"\n", 1)[1].startswith(b'"digits/\xff, \n.png",')
    assert "🙂".encode() in done.stdout


def test_bad_input_is_one_line(folder: Path, refused: Refused) -> None:
    before = sorted(folder.rglob("*"))
    assert "name the image files" in refused("predict")
    model = ("--model", "model.safetensors")
    assert "--model none.safetensors: there is no such file" in refused(
        "predict", "digits", "--model", "none.safetensors"
    )
    assert "is neither .safetensors nor .onnx" in refused("predict", "digits", "--model", "digits/a/00.png")
    assert "none.onnx: there is no such file" in refused("predict", "digits", "--model", "none.onnx")
    assert "exists; give --overwrite" in refused("predict", "digits", *model, "--out", "model.safetensors")
    assert "there is no folder" in refused("predict", "digits", *model, "--out", "none/found.csv")
    assert "xml" in refused("predict", "digits", *model, "--format", "xml")
    for command in (("predict", "digits"), ("export", "--onnx", "a.onnx")):
        assert "there are no runs in mlruns; `kmpl sweep` makes some" in refused(*command)
    assert "--onnx FILE, --safetensors FILE or both" in refused("export", *model)
    assert "exists; give --overwrite" in refused("export", *model, "--safetensors", "colour.safetensors")
    assert "exists; give --overwrite" in refused("export", *model, "--onnx", "colour.safetensors")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.usefixtures("folder")
def test_a_model_is_exported_and_gives_the_same(refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--onnx", "copy.onnx", "--safetensors", "copy.safetensors"]
    assert main(["export", "--model", "model.safetensors", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("copy.onnx: ")
    assert float(lines[0].split()[-1]) < 1e-5
    assert lines[1].startswith("copy.safetensors: ")
    assert lines[1].endswith(" 0.0e+00")
    answers = []
    for model in ("model.safetensors", "copy.safetensors", "copy.onnx"):
        assert main(["predict", "digits", "--model", model]) == 0
        answers.append([[float(row[f"p_{c}"]) for c in CLASSES] for row in rows_of(capsys.readouterr().out)])
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_allclose(answers[0], answers[2], atol=2e-6)
    assert "is ONNX already" in refused("export", "--model", "copy.onnx", "--safetensors", "b.safetensors")
    # A model in a file asks for as little as possible.
    script = "import sys; from kmpl.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    for model, unwanted in (("copy.onnx", ("torch", "mlflow", "scipy")), ("copy.safetensors", ("mlflow", "sklearn"))):
        command = [sys.executable, "-c", script, "predict", "digits/a/00.png", "--model", model]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "digits/a/00.png," in done.stdout
        assert not set(unwanted) & set(done.stdout.split())


def test_a_full_disk_leaves_nothing_behind(folder: Path, refused: Refused) -> None:
    before = sorted(folder.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        line = refused("predict", "digits", "--model", "model.safetensors", "--out", "found.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write found.csv" in line
    assert sorted(folder.rglob("*")) == before
