"""Hugging Face's own ``load_dataset`` gives the labels that were meant, whatever files and classes are called."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from kmpl.errors import UserError
from kmpl.formats.given_labels import Rules
from kmpl.formats.records import ASSIGNED, GIVEN, LabelRecord
from kmpl.formats.registry import read_labels
from kmpl.formats.writing import write

RECORDS = (
    LabelRecord(file="cat/IMG_test.png", label="cat", source=GIVEN),
    LabelRecord(file="test/b.png", label="test", source=GIVEN),
    LabelRecord(file="val-01/train.png", label="007", source=ASSIGNED, confidence=0.75, cluster=3),
    LabelRecord(file="c.png", label="NA", source=ASSIGNED, confidence=0.5),
    LabelRecord(file="d, e.png"),
)
Load = Callable[[Path], list[tuple[int, str | None]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for shade, record in enumerate(RECORDS):
        (folder / record.file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 20 * shade).save(folder / record.file)
    return folder


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return what gives the shade and the label of each image that ``load_dataset`` finds."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    datasets = pytest.importorskip("datasets")

    def load(folder: Path) -> list[tuple[int, str | None]]:
        parts = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
        return [(row["image"].convert("L").getpixel((0, 0)), row["label"]) for part in parts.values() for row in part]

    return load


def test_a_folder_for_hugging_face_has_all_images_with_their_labels(root: Path, load: Load) -> None:
    write(RECORDS, root.parent / "out", root, "huggingface-folder")
    found = load(root.parent / "out")
    assert sorted(found) == [(20 * shade, record.label or None) for shade, record in enumerate(RECORDS)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_metadata_beside_the_images_keeps_class_names_as_they_are(suffix: str, root: Path, load: Load) -> None:
    """Names of files and folders that mean a part of a data set are the business of the folder above."""
    plain = {"cat/IMG_test.png": "cat/a.png", "test/b.png": "b.png", "val-01/train.png": "f.png"}
    records = []
    for record in RECORDS:
        file = plain.get(record.file, record.file)
        (root / record.file).rename(root / file)
        records.append(LabelRecord(file=file, label=record.label))
    (root / "test").rmdir()
    (root / "val-01").rmdir()
    write(records, root / f"metadata{suffix}", root, "huggingface")
    assert sorted(load(root)) == [(20 * shade, record.label or None) for shade, record in enumerate(RECORDS)]


def test_class_numbers_of_a_parquet_file_have_the_names_that_it_holds(tmp_path: Path) -> None:
    """As ``datasets`` 5.2.0 writes them; −1 is its mark of no label, and a number without a name is refused."""
    names = ["no", "cat", "7"]
    features = {"label": {"names": names, "_type": "ClassLabel"}, "file_name": {"dtype": "string", "_type": "Value"}}

    def written(labels: list[int]) -> Path:
        files = [f"{i}.png" for i in range(len(labels))]
        table = pyarrow.table({"file_name": files, "label": pyarrow.array(labels, pyarrow.int64())})
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        path = tmp_path / "metadata.parquet"
        pyarrow.parquet.write_table(table.replace_schema_metadata(about), path)
        return path

    files = [f"{i}.png" for i in range(4)]
    found = read_labels(written([1, 2, -1, 1]), tmp_path, files, Rules())
    assert found.labels == {"0.png": "cat", "1.png": "7", "3.png": "cat"}
    with pytest.raises(UserError, match=r"row 2: has class 3, and the file names 0 to 2"):
        read_labels(written([1, 3]), tmp_path, files, Rules())
