"""Image files → class probabilities: found, read in parallel, classified in batches, said as CSV or JSON lines."""

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
_BATCH_BYTES = 64 * 2**20  # of large images there are fewer in a batch


def find_pictures(
    paths: Sequence[Path],
    by_content: Callable[[Path], None] = lambda path: None,  # noqa: ARG005
) -> tuple[list[Path], dict[Path, str]]:
    """Return the files to read, each once, and what gives none, with the reason.

    A folder stands for all files in it and below it that are images by their suffix or their content, sorted, as
    ``walk`` finds them. A file that is named itself is read whatever it is called.

    Args:
        paths: files and folders.
        by_content: told of each file in a folder that is an image by its content alone.
    """
    files: dict[Path, None] = {}
    left_out: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            files[path] = None
            continue
        found = sorted(_pictures_below(path, left_out, by_content))
        files |= dict.fromkeys(found)
        if not found:
            left_out.setdefault(path, f"no image in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return list(files), left_out


def _pictures_below(folder: Path, left_out: dict[Path, str], by_content: Callable[[Path], None]) -> Iterator[Path]:
    def refused(below: str, error: OSError) -> None:
        left_out[folder / below] = error.strerror or str(error)

    for name in walk(folder, refused):
        path = folder / name
        if (file := identify(path)) and not file.unreadable:
            yield path
            if file.by_content:
                by_content(path)
        elif file:
            left_out[path] = file.unreadable


def read_batches(
    model: Classifier, files: Sequence[Path], unread: Callable[[Path, str], None]
) -> Iterator[tuple[list[Path], np.ndarray, int]]:
    """Give the pictures in batches, in their order: files, images (B, height, width[, 3]) uint8, files taken so far.

    The next batch is read while this one is at work. What cannot be read goes to ``unread``; a batch may be empty.
    """
    size = max(1, min(BATCH, _BATCH_BYTES // int(np.prod(model.raw_shape))))

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return model.read(path)
        except PictureError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="read") as threads:
        try:
            batches = (files[i : i + size] for i in range(0, len(files), size))
            pending = [(batch, threads.map(attempt, batch)) for batch in islice(batches, 1)]
            done = 0
            while pending:
                batch, results = pending.pop()
                pending = [(following, threads.map(attempt, following)) for following in islice(batches, 1)]
                kept, images = [], []
                for path, found in zip(batch, results, strict=True):
                    if isinstance(found, str):
                        unread(path, found)
                    else:
                        kept.append(path)
                        images.append(found)
                done += len(batch)
                yield kept, np.stack(images) if images else np.empty(0, dtype=np.uint8), done
        finally:  # who stops asking waits for no more than what is being read
            threads.shutdown(wait=False, cancel_futures=True)


def texts(
    model: Classifier, files: Sequence[Path], form: str, unread: Callable[[Path, str], None]
) -> Iterator[tuple[int, int, str]]:
    """Give the whole output piece by piece: files taken so far, images in this piece, text.

    ``form`` is csv, json (lines), or request: the images themselves as MLflow's server takes them, unclassified.
    Nothing but empty text comes if no file can be read.
    """
    begin, between, end = {
        "csv": (csv_header(model.classes), "", ""),
        "json": ("", "", ""),
        "request": ('{"inputs": [', ",\n", "]}\n"),
    }[form]
    line, lead, any_read = csv_line if form == "csv" else json_line, begin, False
    for kept, images, done in read_batches(model, files, unread):
        if not kept:
            yield done, 0, ""
            continue
        if form == "request":
            parts = [json.dumps(image.tolist(), separators=(",", ":")) for image in images]
        else:
            rows = zip(kept, model.classify(images), strict=True)
            parts = [line(path, model.classes, probabilities) for path, probabilities in rows]
        yield done, len(kept), lead + between.join(parts)
        lead, any_read = between, True
    if any_read:
        yield len(files), 0, end


def csv_header(classes: Sequence[str]) -> str:
    """Return the first line of the CSV: file, class, its probability, and a column ``p_…`` for each class."""
    return _csv_line(["file", "class", "probability", *(f"p_{name}" for name in classes)])


def csv_line(path: Path, classes: Sequence[str], probabilities: np.ndarray) -> str:
    """Return one file's line."""
    best = int(probabilities.argmax())
    numbers = [f"{p:.6f}" for p in probabilities]
    return _csv_line([str(path), classes[best], numbers[best], *numbers])


def json_line(path: Path, classes: Sequence[str], probabilities: np.ndarray) -> str:
    """Return one file's line, an object with file, class, probability, and the probabilities by class."""
    best = int(probabilities.argmax())
    numbers = [round(float(p), 6) for p in probabilities]
    by_class = dict(zip(classes, numbers, strict=True))
    about = {"file": str(path), "class": classes[best], "probability": numbers[best], "probabilities": by_class}
    return json.dumps(about) + "\n"


def _csv_line(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
