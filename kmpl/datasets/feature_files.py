"""Files of features that somebody computed: rows by file name. Shapes: N images, R rows, D feature dimension.

- ``.npz``: an array (R, D) of numbers and an array (R,) of names.
- ``.npy``: an array (R, D), with the names beside it, a line each, in a ``.txt`` of the same name.
- ``.parquet``: a column of names (file, file_name, path, image_path, image or name), and a column of lists, or else all
  columns of numbers.
- ``.safetensors``: a tensor (R, D) and, in the header, ``files``: a JSON list of names; or a tensor (D,) for each name.

A row belongs to the image with the same path relative to the folder, or else with the same name, if only one has it.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from kmpl.errors import FileError

_NAME_COLUMNS = ("file", "file_name", "filename", "filenames", "path", "image_path", "image", "name")
_LABEL_COLUMNS = ("label", "labels", "class", "target", "y")
"""No features: they would tell the method what it is to find."""
_Rows = tuple[list[str], np.ndarray]


def read_features(path: Path, files: Sequence[str]) -> np.ndarray:
    """Return features (N, D) float32 of a folder's images.

    Args:
        path: the file of features.
        files: (N,) paths of the images, relative to their folder.

    Raises:
        FileError: no such file, a format that is not read, a damaged file, or no row for an image.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"{path}: features are read from {', '.join(_READERS)}", path)
    if not path.is_file():
        raise FileError(f"{path}: there is no such file of features", path)
    try:
        names, values = reader(path)
        values = values.astype(np.float32)
    except FileError:
        raise
    except Exception as error:  # damaged files raise anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FileError(f"{path} cannot be read: {reason.splitlines()[0]}", path) from error
    if values.ndim != 2 or len(names) != len(values):
        raise FileError(
            f"{path}: {len(names)} names, but features of shape {values.shape}; give (names, numbers)", path
        )
    if not values.shape[1]:
        raise FileError(f"{path}: it has no numbers beside the names", path)
    found = values[_matched(path, names, files)]
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise FileError(f"{path}: the features of {files[row]} are not all finite numbers", path)
    return found


def _matched(path: Path, names: Sequence[str], files: Sequence[str]) -> list[int]:
    """Return the row of each file."""
    paths = [str(PurePosixPath(name.replace("\\", "/"))) for name in names]
    twice = next((name for name, n in Counter(paths).items() if n > 1), None)
    if twice is not None:
        raise FileError(f"{path}: {twice} comes twice; give each image one row", path)
    by_path = {name: row for row, name in enumerate(paths)}
    counts = Counter(PurePosixPath(name).name for name in by_path)
    by_name = {PurePosixPath(name).name: row for name, row in by_path.items() if counts[PurePosixPath(name).name] == 1}
    in_folder = Counter(PurePosixPath(file).name for file in files)
    rows = []
    missing = []
    for file in files:
        name = PurePosixPath(file).name
        row = by_path.get(file, by_name.get(name) if in_folder[name] == 1 else None)
        if row is None:
            missing.append(file)
        else:
            rows.append(row)
    if missing:
        first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise FileError(
            f"{path}: no features for {len(missing):,} of {len(files):,} images ({first}); names are paths relative "
            f"to the folder, such as {files[0]}; the file has {names[0] if names else 'none'}",
            path,
        )
    return rows


def _read_npz(path: Path) -> _Rows:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    names = [array for array in arrays.values() if array.dtype.kind in "US" and array.ndim == 1]
    values = [array for array in arrays.values() if array.dtype.kind == "f" and array.ndim == 2]
    if len(names) != 1 or len(values) != 1:
        about = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise FileError(
            f"{path}: one array of names and one of features (rows, numbers) are wanted, it has {about}", path
        )
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names[0]], values[0]


def _read_npy(path: Path) -> _Rows:
    names = path.with_suffix(".txt")
    if not names.is_file():
        raise FileError(f"{path}: the names of its rows are missing; write them to {names}, a line each", path)
    return names.read_text(encoding="utf-8").splitlines(), np.load(path, allow_pickle=False)


def _read_parquet(path: Path) -> _Rows:
    import pandas as pd  # slow to import

    table = pd.read_parquet(path)
    column = next((name for name in _NAME_COLUMNS if name in table), None)
    if column is None:
        raise FileError(f"{path}: no column of names; call it {_NAME_COLUMNS[0]}", path)
    others = table.drop(columns=[column, *(name for name in _LABEL_COLUMNS if name in table)])
    lists = [name for name in others if len(others) and isinstance(others[name].iloc[0], np.ndarray | list)]
    values = np.stack(others[lists[0]].to_list()) if lists else others.select_dtypes("number").to_numpy()
    return [str(name) for name in table[column]], values


def _read_safetensors(path: Path) -> _Rows:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        header: Mapping[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if "files" in header:
        values = [tensor for tensor in tensors.values() if tensor.ndim == 2]
        if len(values) != 1:
            raise FileError(f"{path}: one tensor (rows, numbers) is wanted, it has {len(values)}", path)
        return [str(name) for name in json.loads(header["files"])], values[0]
    return list(tensors), np.stack(list(tensors.values()))


_READERS: Mapping[str, Callable[[Path], _Rows]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}
