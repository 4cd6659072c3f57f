"""Files of features: four formats, rows by file name, and what does not fit in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kmpl.datasets.feature_files import read_features
from kmpl.errors import FileError

FILES = ("b/2.png", "a/1.png", "3.png")
NAMES = ["3.png", "a/1.png", "b/2.png", "elsewhere/4.png"]
VALUES = np.arange(20, dtype=np.float32).reshape(4, 5) / 7
EXPECTED = VALUES[[2, 1, 0]]


def npz(root: Path) -> Path:
    np.savez(root / "f.npz", embeddings=VALUES, files=np.array(NAMES))
    return root / "f.npz"


def npy(root: Path) -> Path:
    np.save(root / "f.npy", VALUES)
    (root / "f.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return root / "f.npy"


def parquet_of_lists(root: Path) -> Path:
    pd.DataFrame({"file_name": NAMES, "embedding": list(VALUES)}).to_parquet(root / "f.parquet")
    return root / "f.parquet"


def parquet_of_columns(root: Path) -> Path:
    table = pd.DataFrame(VALUES, columns=[f"f{i}" for i in range(5)])
    table.insert(2, "path", NAMES)
    table.to_parquet(root / "f.parquet")
    return root / "f.parquet"


def safetensors_with_names(root: Path) -> Path:
    save_file({"features": VALUES}, root / "f.safetensors", {"files": json.dumps(NAMES)})
    return root / "f.safetensors"


def safetensors_by_name(root: Path) -> Path:
    save_file(dict(zip(NAMES, VALUES, strict=True)), root / "f.safetensors")
    return root / "f.safetensors"


@pytest.mark.parametrize(
    "write", [npz, npy, parquet_of_lists, parquet_of_columns, safetensors_with_names, safetensors_by_name]
)
def test_rows_are_found_by_the_names_of_files(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    np.testing.assert_array_equal(read_features(write(tmp_path), FILES), EXPECTED)


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_features_of_any_precision_are_float32(tmp_path: Path, kind: str) -> None:
    """scikit-learn's K-means predicts no other precision than it was fitted with, and torch's layers are float32."""
    values = VALUES.astype(kind)
    np.savez(tmp_path / "f.npz", v=values, n=np.array(NAMES))
    np.save(tmp_path / "f.npy", values)
    (tmp_path / "f.txt").write_text("\n".join(NAMES), encoding="utf-8")
    save_file({"v": values}, tmp_path / "f.safetensors", {"files": json.dumps(NAMES)})
    for name in ("f.npz", "f.npy", "f.safetensors"):
        read = read_features(tmp_path / name, FILES)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, EXPECTED, rtol=1e-3)


def test_a_name_alone_is_enough_where_only_one_file_has_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", v=VALUES, n=np.array(["/data/x/2.png", r"C:\pictures\1.png", "3.png", "4.png"]))
    np.testing.assert_array_equal(read_features(tmp_path / "f.npz", FILES), VALUES[[0, 1, 2]])
    with pytest.raises(FileError, match="no features for 2 of 2 images"):
        read_features(tmp_path / "f.npz", ("a/2.png", "b/2.png"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"v": VALUES, "n": np.array(list("wxyz"))}, "no features for 3 of 3 images (b/2.png, a/1.png, 3.png)"),
        ({"v": VALUES}, "one array of names and one of features (rows, numbers) are wanted, it has v float32 (4, 5)"),
        ({"v": VALUES[:3], "n": np.array(NAMES)}, "4 names, but features of shape (3, 5)"),
        ({"v": VALUES * np.nan, "n": np.array(NAMES)}, "the features of b/2.png are not all finite numbers"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, content: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "f.npz", **content)  # type: ignore[arg-type]
    with pytest.raises(FileError) as error:
        read_features(tmp_path / "f.npz", FILES)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f.csv", "features are read from .npz, .npy, .parquet, .safetensors"),
        ("absent.npz", "there is no such file of features"),
        ("text.npz", "cannot be read"),
        ("text.parquet", "cannot be read"),
        ("text.safetensors", "cannot be read"),
        ("f.npy", "the names of its rows are missing; write them to"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, words: str) -> None:
    np.save(tmp_path / "f.npy", VALUES)
    if name.startswith("text"):
        (tmp_path / name).write_text("no numbers")
    with pytest.raises(FileError) as error:
        read_features(tmp_path / name, FILES)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", v=VALUES, n=np.array(NAMES, dtype=object))
    with pytest.raises(FileError, match="cannot be read"):
        read_features(tmp_path / "f.npz", FILES)


def test_a_column_of_labels_is_no_feature(tmp_path: Path) -> None:
    table = pd.DataFrame(VALUES, columns=[f"f{i}" for i in range(5)])
    table.insert(0, "path", NAMES)
    table["label"] = [0, 1, 2, 3]
    table.to_parquet(tmp_path / "f.parquet")
    np.testing.assert_array_equal(read_features(tmp_path / "f.parquet", FILES), EXPECTED)
    table[["path", "label"]].to_parquet(tmp_path / "none.parquet")
    with pytest.raises(FileError, match="no numbers beside the names"):
        read_features(tmp_path / "none.parquet", FILES)


def test_a_name_that_comes_twice_and_texts_for_numbers_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", v=VALUES, n=np.array([*NAMES[:3], "3.png"]))
    with pytest.raises(FileError, match=r"3\.png comes twice"):
        read_features(tmp_path / "f.npz", FILES)
    np.save(tmp_path / "f.npy", np.array([["a", "b"]] * 4))
    (tmp_path / "f.txt").write_text("\n".join(NAMES))
    with pytest.raises(FileError, match="cannot be read"):
        read_features(tmp_path / "f.npy", FILES)


@pytest.mark.parametrize("name", ["filename", "filenames"])
def test_embeddings_that_lightlytrain_wrote_are_features_as_parquet(tmp_path: Path, name: str) -> None:
    """Its CSV has the column ``filename``, or, for Lightly's own use, ``filenames`` and ``labels``, which are zeros."""
    table = pd.DataFrame({name: ["a.png", "b ü.png"], "embedding_0": [0.5, 1.5], "embedding_1": [2.5, 3.5]})
    table = table.assign(labels=0) if name == "filenames" else table
    table.to_parquet(tmp_path / "features.parquet")
    found = read_features(tmp_path / "features.parquet", ["b ü.png", "a.png"])
    assert found.tolist() == [[1.5, 3.5], [0.5, 2.5]]
