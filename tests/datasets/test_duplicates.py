"""What `kmpl data` says of a data set: MNIST as it is packed, and a folder in which images come twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from kmpl.cli import main
from kmpl.datasets import registry
from kmpl.datasets.duplicates import summarize
from kmpl.datasets.types import Images
from kmpl.errors import DuplicatesWarning


def test_mnist_has_no_image_twice_within_or_across_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "MNIST"]) == 0
    said = capsys.readouterr()
    rows = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in said.out.splitlines()[2:]}
    assert said.out.startswith("MNIST: 10 classes, grey images of 28 × 28\n")
    assert rows["0"] == ["5,923", "980"]  # as the database's own page has them
    assert rows["all"] == ["60,000", "10,000"]
    assert rows["copies within"] == ["0", "0"]
    assert said.out.splitlines()[-1].split() == ["in", "both", "0"]
    assert said.err == ""


def images(numbers: list[int], labels: list[int]) -> Images:
    pixels = torch.tensor(numbers, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return Images(images=pixels, labels=torch.tensor(labels), classes=("a", "b", "c"))


def test_copies_are_counted_within_parts_across_them_and_where_labels_differ() -> None:
    found = summarize(images([1, 1, 1, 2, 3], [0, 0, 0, 1, 1]), images([4, 4, 2, 3, 2], [0, 0, 1, 0, 1]))
    assert found.copies == {"training": 2, "test": 2}
    assert found.in_both == 3  # 2, 3 and 2 again
    assert found.contradicted == 1  # 3 is b in one part and a in the other
    assert {part: counts.tolist() for part, counts in found.counts.items()} == {
        "training": [3, 2, 0],
        "test": [3, 2, 0],
    }
    assert found.warnings() == [
        "2 images of the training part come twice",
        "2 images of the test part come twice",
        "3 images of the test part are in the training part, too: accuracy on them is memory",
        "1 images come with more than one label",
    ]


def test_a_folder_with_copies_is_warned_of_in_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy saved anew is another file with the same pixels: the split, which goes by files, does not see it."""
    digits = registry.read("MNIST", train=True)
    for name in ("even", "odd"):
        (tmp_path / name).mkdir()
    for i in range(20):
        name = "odd" if digits.labels[i] % 2 else "even"
        picture = Image.fromarray(digits.images[i, 0].numpy())
        picture.save(tmp_path / name / f"{i:02}.png", compress_level=9)
        picture.save(tmp_path / name / f"{i:02} again.png", compress_level=0)
    with pytest.warns(DuplicatesWarning) as warned:
        assert main(["data", f"folder:{tmp_path}"]) == 0
    lines = [str(one.message) for one in warned if one.category is DuplicatesWarning]
    assert any("of the training part come twice" in line for line in lines)
    assert any("of the test part are in the training part, too: accuracy on them is memory" in line for line in lines)
    assert all(line.startswith(f"folder:{tmp_path}: ") for line in lines)
    assert "2 classes, grey images of 32 × 32" in capsys.readouterr().out


def test_an_unknown_data_set_is_one_line(refused: Callable[..., str]) -> None:
    assert "unknown dataset 'MNST'; did you mean 'MNIST'?" in refused("data", "MNST")
    assert "no such folder" in refused("data", "folder:nowhere").lower() or "nowhere" in refused(
        "data", "folder:nowhere"
    )
