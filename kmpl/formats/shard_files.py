"""The labels of a large folder, shard by shard: a CSV that is written in a stream, and a Parquet file a shard."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from kmpl.errors import FileError
from kmpl.formats import kmpl_csv, parquet_records
from kmpl.formats.records import LabelRecord
from kmpl.formats.writing import whole_folder
from kmpl.runtime.files import whole_file

SUFFIX = ".shards"


def folder_beside(path: Path) -> Path:
    """Return the folder of the Parquet files that go with a CSV: ``labels.csv`` → ``labels.shards``."""
    return path.with_suffix(SUFFIX)


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a file that is no CSV, and a folder beside it that is there.

    Raises:
        FileError: in one line.
    """
    if path.suffix.lower() != ".csv":
        line = f"--out {path}: labels of shards are a CSV, with Parquet files beside it; name it NAME.csv"
        raise FileError(line, path)
    folder = folder_beside(path)
    ours = folder.is_dir() and all(file.suffix == ".parquet" for file in folder.iterdir())
    if folder.exists() and not (overwrite and ours):
        why = "it holds other things; give --out another name" if overwrite else "give --overwrite or another name"
        raise FileError(f"{folder}: exists; {why}", folder)


def write(records: Iterable[LabelRecord], sizes: Sequence[int], path: Path) -> None:
    """Write a CSV, and a Parquet file for each shard in the folder beside it, whole or not at all.

    Args:
        records: one for each image, shard after shard.
        sizes: number of images of each shard.
        path: the CSV.

    Raises:
        UserError: the file system refuses.
    """
    beside = folder_beside(path)
    rest = iter(records)
    with (
        whole_file(path) as draft,
        whole_folder(beside, replace=True) as folder,
        draft.open("w", encoding="utf-8", newline="") as out,
    ):
        for number, size in enumerate(sizes):
            part = list(islice(rest, size))
            kmpl_csv.write_rows(part, out, with_header=number == 0)
            parquet_records.write(part, folder / f"{number:06}.parquet", path.parent)
