"""Output paths are checked before any work."""

from pathlib import Path

import pytest

from kmpl.errors import FileError
from kmpl.runtime.output_paths import check_target, free_name


def test_a_name_that_is_taken_gets_the_next_number(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    assert free_name(path) == path
    path.touch()
    assert free_name(path) == tmp_path / "labels_2.csv"
    (tmp_path / "labels_2.csv").touch()
    assert free_name(path) == tmp_path / "labels_3.csv"


def test_a_folder_is_no_target_and_an_existing_file_only_where_it_may_be_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"--out .*: is a folder; name a file"):
        check_target(tmp_path, "--out")
    file = tmp_path / "file"
    file.touch()
    check_target(file, "--out")
    with pytest.raises(FileError, match="exists; give --overwrite or another name"):
        check_target(file, "--out", overwrite=False)
