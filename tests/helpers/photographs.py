"""Real photographs for tests: windows cut out of those that scikit-learn and scikit-image ship."""

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

_SOURCES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
}
CLASSES = tuple(_SOURCES)
_SIDE_PIXELS = 160


def write_photographs(root: Path, *, per_class: int, seed: int = 0, suffix: str = ".jpg") -> dict[str, str]:
    """Write windows of each photograph to a folder; return the class of each file, by its name."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth = {}
    for name, (package, path) in _SOURCES.items():
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None, f"{package} is installed"  # noqa: PT018
        with Image.open(Path(spec.origin).parent / path) as photograph:
            for _ in range(per_class):
                left = int(rng.integers(0, photograph.width - _SIDE_PIXELS))
                top = int(rng.integers(0, photograph.height - _SIDE_PIXELS))
                window = photograph.convert("RGB").crop((left, top, left + _SIDE_PIXELS, top + _SIDE_PIXELS))
                file = f"{rng.integers(10**9):09d}{suffix}"  # a name that says nothing of the class
                window.save(root / file)
                truth[file] = name
    return truth


def write_labels(path: Path, truth: dict[str, str], *, per_class: int) -> None:
    """Write a CSV that labels some files of each class."""
    rows = []
    for name in CLASSES:
        files = sorted(file for file, label in truth.items() if label == name)
        rows += [(file, name) for file in files[:per_class]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
