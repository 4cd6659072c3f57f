"""Prediction of image files: find them, read them in parallel, classify batches, write CSV or JSON lines."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from kmpl.images.decoding import PictureError
from kmpl.images.file_kinds import IMAGE_SUFFIXES, identify
from kmpl.images.file_tree import walk
from kmpl.models.classifier import Classifier

BATCH = 256
"""Largest number of images in a batch."""
_MAX_BATCH_BYTES = 64 * 2**20  # a batch of large images holds fewer


def find_pictures(
    paths: Sequence[Path],
    by_content: Callable[[Path], None] = lambda path: None,  # noqa: ARG005
) -> tuple[list[Path], dict[Path, str]]:
    """Return the files to read, each once, and the paths that are left out, with the reason.

    A folder stands for all files in it and below it that are images by their suffix or content, sorted, as ``walk``
    finds them. A file among ``paths`` is read, with any suffix.

    Args:
        paths: files and folders.
        by_content: receives each file in a folder that is an image by its content alone.
    """
    files: dict[Path, None] = {}
    left_out: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        images = sorted(_pictures_below(path, left_out, by_content))
        files |= dict.fromkeys(images)
        if not images:
            left_out.setdefault(path, f"no image in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return list(files), left_out


def _pictures_below(folder: Path, left_out: dict[Path, str], by_content: Callable[[Path], None]) -> Iterator[Path]:
    def on_error(name: str, error: OSError) -> None:
        left_out[folder / name] = error.strerror or str(error)

    for name in walk(folder, on_error):
        path = folder / name
        kind = identify(path)
        if kind and kind.unreadable:
            left_out[path] = kind.unreadable
        elif kind:
            yield path
            if kind.by_content:
                by_content(path)


def read_batches(
    model: Classifier, files: Sequence[Path], on_unreadable: Callable[[Path, str], None]
) -> Iterator[tuple[list[Path], np.ndarray, int]]:
    """Yield batches of images in the order of the files; a batch may be empty.

    The next batch is read while the caller works on this one. Yields (files, images (B, height, width[, 3]) uint8,
    number of files so far).

    Args:
        model: determines the shape of the images.
        files: to read.
        on_unreadable: receives each file that cannot be read, and the reason.
    """
    size = max(1, min(BATCH, _MAX_BATCH_BYTES // int(np.prod(model.raw_shape))))

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return model.read(path)
        except PictureError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="read") as threads:
        try:
            batches = (files[i : i + size] for i in range(0, len(files), size))
            pending = [(batch, threads.map(attempt, batch)) for batch in islice(batches, 1)]
            n_files = 0
            while pending:
                batch, results = pending.pop()
                pending = [(following, threads.map(attempt, following)) for following in islice(batches, 1)]
                readable: list[Path] = []
                images: list[np.ndarray] = []
                for path, result in zip(batch, results, strict=True):
                    if isinstance(result, str):
                        on_unreadable(path, result)
                    else:
                        readable.append(path)
                        images.append(result)
                n_files += len(batch)
                yield readable, np.stack(images) if images else np.empty(0, dtype=np.uint8), n_files
        finally:  # a caller that stops early waits only for the files that are being read
            threads.shutdown(wait=False, cancel_futures=True)


def prediction_texts(
    model: Classifier, files: Sequence[Path], *, form: str, on_unreadable: Callable[[Path, str], None]
) -> Iterator[tuple[int, int, str]]:
    """Yield the output in pieces: (number of files so far, number of images in this piece, text).

    All texts are empty if no file can be read.

    Args:
        model: classifies the images.
        files: to read.
        form: csv, json (lines), or request (the images as MLflow's server accepts them, unclassified).
        on_unreadable: receives each file that cannot be read, and the reason.
    """
    begin, between, end = {
        "csv": (csv_header(model.classes), "", ""),
        "json": ("", "", ""),
        "request": ('{"inputs": [', ",\n", "]}\n"),
    }[form]
    line = csv_line if form == "csv" else json_line
    prefix = begin
    any_read = False
    for readable, images, n_files in read_batches(model, files, on_unreadable):
        if not readable:
            yield n_files, 0, ""
            continue
        if form == "request":
            parts = [json.dumps(image.tolist(), separators=(",", ":")) for image in images]
        else:
            rows = zip(readable, model.classify(images), strict=True)
            parts = [line(path, model.classes, probabilities) for path, probabilities in rows]
        yield n_files, len(readable), prefix + between.join(parts)
        prefix = between
        any_read = True
    if any_read:
        yield len(files), 0, end


def csv_header(classes: Sequence[str]) -> str:
    """Return the header of the CSV: file, class, its probability, and a column ``p_…`` for each class."""
    return _csv_line(["file", "class", "probability", *(f"p_{name}" for name in classes)])


def csv_line(path: Path, classes: Sequence[str], probabilities: np.ndarray) -> str:
    """Return the CSV line of one file."""
    best = int(probabilities.argmax())
    numbers = [f"{p:.6f}" for p in probabilities]
    return _csv_line([str(path), classes[best], numbers[best], *numbers])


def json_line(path: Path, classes: Sequence[str], probabilities: np.ndarray) -> str:
    """Return the JSON line of one file: an object with file, class, probability, and the probabilities by class."""
    best = int(probabilities.argmax())
    numbers = [round(float(p), 6) for p in probabilities]
    by_class = dict(zip(classes, numbers, strict=True))
    record = {"file": str(path), "class": classes[best], "probability": numbers[best], "probabilities": by_class}
    return json.dumps(record) + "\n"


def _csv_line(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
