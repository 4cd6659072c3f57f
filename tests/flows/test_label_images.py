"""The flow ``label-images`` on Prefect's own test server: files written, steps named, the summary on its page."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client

from flows.label_images import label_images
from kmpl.config.labelling import LabelOptions
from kmpl.datasets import registry
from kmpl.errors import LabelsWarning, LeftOutWarning, UserError
from kmpl.jobs.reading_warnings import MAX_NAMED_FILES

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning"),  # MLflow, of its own types
]

QUICK = {"epochs": 1, "images_per_epoch": 200, "batch_size": 32}
SETTINGS = {
    "threads": 1,
    "clustering": {"n_clusters": 8},
    "pseudo_labels": {"rounds": 1, "threshold": 0.0},
    "threshold": 0.0,
}


class _Said(logging.Handler):
    """Keeps what a flow's logger says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_classes_becomes_labels_a_page_and_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = registry.read("MNIST", train=True)
    for number, place in enumerate(np.flatnonzero(data.labels.numpy() < 2)[:40]):
        folder = tmp_path / "images" / (str(int(data.labels[place])) if number < 12 else "nan" if number < 15 else ".")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[place, 0].numpy()).save(folder / f"{number:02}.png")
    for number in range(MAX_NAMED_FILES + 3):
        (tmp_path / "images" / f"broken {number:02}.png").write_text("no picture", encoding="utf-8")
    monkeypatch.setenv("KMPL_MLRUNS", str(tmp_path / "mlruns"))
    monkeypatch.chdir(tmp_path)
    settings = LabelOptions.model_validate(SETTINGS | {"pretrain": QUICK, "retrain": QUICK})
    said = _Said()
    logging.getLogger("prefect.flow_runs").addHandler(said)
    with pytest.warns(LeftOutWarning), pytest.warns(LabelsWarning):
        label_images(Path("images"), Path("out.csv"), gallery=Path("gallery.html"), settings=settings)
    named_files = [line for line in said.lines if line.startswith("left out: broken")]
    assert len(named_files) == MAX_NAMED_FILES
    assert f"left out in all: {MAX_NAMED_FILES + 3} files" in said.lines
    assert any(line.startswith("3 images are read as not labelled (3 × 'nan')") for line in said.lines)
    rows = read_rows(tmp_path / "out.csv")
    assert len(rows) == 40
    assert {row["source"] for row in rows} == {"given", "assigned"}
    assert (tmp_path / "gallery.html").stat().st_size > 10_000
    with get_client(sync_client=True) as client:
        names = {run.name for run in client.read_task_runs()}
        (artifact,) = client.read_artifacts()
    assert {"read images", "label images: label, round 1: retrain", "report"} <= names
    assert "40 images: 12 labels given, 28 assigned" in str(artifact.data)
    with pytest.raises(UserError, match="exists; give --overwrite"):
        label_images(Path("images"), Path("out.csv"))

    later = np.flatnonzero(data.labels.numpy() < 2)[40:52]
    for number, place in enumerate(later):
        folder = tmp_path / "images" / (str(int(data.labels[place])) if number < 2 else ".")
        Image.fromarray(data.images[place, 0].numpy()).save(folder / f"later {number:02}.png")
    before = (tmp_path / "out.csv").read_bytes()
    with pytest.warns(LeftOutWarning), pytest.warns(LabelsWarning):
        label_images(Path("images"), Path("out.csv"), gallery=Path("gallery.html"), new_files=True)
    assert (tmp_path / "out.csv").read_bytes().startswith(before)
    new = {Path(row["file"]).name: row for row in read_rows(tmp_path / "out.csv")[40:]}
    assert [row["source"] for _, row in sorted(new.items())] == 2 * ["given"] + 10 * ["assigned"]
    truth = [str(int(data.labels[place])) for place in later]
    assert np.mean([row["label"] == label for (_, row), label in zip(sorted(new.items()), truth, strict=True)]) > 0.7
    assert any(line.startswith("12 new images; the model of run ") for line in said.lines)
    assert any(line.startswith("Before it knows them, the model names ") for line in said.lines)
    with get_client(sync_client=True) as client:
        assert "label new files" in {run.name for run in client.read_task_runs()}
        assert "new-files" in {artifact.key for artifact in client.read_artifacts()}
    with pytest.raises(UserError, match="seed: the model that is there decides"):
        label_images(Path("images"), Path("out.csv"), new_files=True, settings=LabelOptions(seed=3))
