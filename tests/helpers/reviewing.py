"""Reviews of small folders of real digits: in this process, and as a command with its page."""

import csv
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forked import Forked
from PIL import Image
from terminal import without_prefect

from kmpl.datasets import mnist
from kmpl.jobs import review_folder
from kmpl.jobs.label_files import Files
from kmpl.method import pretext
from kmpl.review.session import Review

START_SECONDS = 60


@dataclass(frozen=True)
class Digits:
    """A folder of digits without a label, and beside it a file of features and what the digits are."""

    folder: Path
    features: Path
    true: dict[str, str]

    def flags(self) -> tuple[str, ...]:
        """Return flags with which a review learns nothing."""
        return ("--backbone", f"features:{self.features}", "--threads", "1")


def write_digits(root: Path, n: int) -> Digits:
    """Write the first ``n`` digits of MNIST."""
    folder = root / "digits"
    folder.mkdir(parents=True)
    data = mnist.read(train=True)
    files = [f"{i:03}.png" for i in range(n)]
    for file, image in zip(files, data.images[:n, 0].numpy(), strict=True):
        Image.fromarray(image).save(folder / file)
    features = root / "features.npz"
    np.savez(features, features=pretext.pixels(data.images[:n]), files=np.array(files))
    return Digits(folder, features, {file: str(int(label)) for file, label in zip(files, data.labels, strict=False)})


def write_labels(path: Path, labels: dict[str, str]) -> Path:
    """Write a CSV of given labels."""
    path.write_text("file,label\n" + "".join(f"{file},{label}\n" for file, label in labels.items()))
    return path


@contextmanager
def reviewing(digits: Digits, root: Path, *, labels: Path | None = None, clusters: int = 8) -> Iterator[Review]:
    """Open a review in this process; its journal lies below ``root`` and its labels are written there."""
    files = Files(digits.folder, root / "out.csv", labels)
    images = review_folder.read(files, 28)
    with np.load(digits.features) as table:
        row = {str(file): features for file, features in zip(table["files"], table["features"], strict=True)}
    features = np.stack([row[file] for file in images.files])
    with review_folder.open_review(files, images, features, mlruns=root, seed=0, n_clusters=clusters) as review:
        yield review


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a CSV of labels, by file."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@dataclass
class Running:
    """The command, and the address that it printed."""

    process: subprocess.Popen[str]
    address: str

    def get(self, path: str = "", *, host: str = "", token: str | None = None) -> tuple[int, bytes]:
        """Return status and content of a path below the token; with another host or token, if one is given."""
        base = self.address if token is None else re.sub(r"[^/]+/$", f"{token}/" if token else "", self.address)
        return _answer(urllib.request.Request(base + path, headers={"Host": host} if host else {}))

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and content of what a POST gives."""
        content = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, {"Content-Type": "application/json"})
        status, text = _answer(request)
        return status, json.loads(text)

    def state(self) -> Any:
        """Return what the page shows."""
        return json.loads(self.get("state")[1])

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C; return exit status, and the rest of output and errors."""
        self.process.send_signal(signal.SIGINT)
        out, errors = self.process.communicate(timeout=START_SECONDS)
        return self.process.returncode, out, errors


def _answer(request: urllib.request.Request) -> tuple[int, bytes]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextmanager
def running(digits: Digits, cwd: Path, *more: str) -> Iterator[Running]:
    """Run ``kmpl review`` in a folder until the block ends."""
    words = [sys.executable, "-m", "kmpl.cli", "review", str(digits.folder), "--no-browser", *digits.flags(), *more]
    with Forked(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=without_prefect()) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            line = next((line for line in lines if line.startswith("Review: ")), "")
            assert line, process.communicate()[1]
            yield Running(process, line.split()[1])
        finally:
            if process.poll() is None:
                process.kill()
