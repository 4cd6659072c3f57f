"""The main job as a newcomer runs it, and MLflow's pages on it. Minutes long."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from kmpl.datasets.registry import read

ROOT = Path(__file__).parents[2]
KMPL = str(Path(sys.prefix) / "bin" / "kmpl")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run what `make demo` runs, in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    command = lines[next(i for i, line in enumerate(lines) if line.startswith("demo:")) + 1].split()[1:]
    begin = time.perf_counter()
    subprocess.run([KMPL, *command, "--json", "demo.json"], cwd=folder, check=True)
    assert time.perf_counter() - begin < 900
    return folder


def test_pseudo_labels_beat_labelled_only_where_labels_are_few(demo: Path) -> None:
    report = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    assert [row["ratio"] for row in report["rows"]] == [0.8, 0.8, 0.4, 0.4, 0.1, 0.1]
    assert report["paired"][-1]["ratio"] == 0.1
    assert report["paired"][-1]["mean"] > 0


@pytest.mark.filterwarnings("default")  # MLflow warns about its own type hints when it loads a model
def test_the_logged_model_classifies_raw_test_images(demo: Path) -> None:
    numbers = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    uri = f"sqlite:///{demo}/mlruns/mlflow.db"
    mlflow.set_tracking_uri(uri)
    parent = numbers["runs"]["ratio 0.1, seed 0"]
    found = MlflowClient(uri).get_run(parent)
    runs = MlflowClient(uri).search_runs([found.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    run = next(run for run in runs if run.data.tags["arm"] == "pseudo-label")
    run = MlflowClient(uri).get_run(run.info.run_id)
    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    test = read("MNIST", train=False)
    shares = model.predict(test.images[:1_000, 0].numpy())
    assert shares.shape == (1_000, 10)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4)
    right = float((shares.argmax(axis=1) == test.labels[:1_000].numpy()).mean())
    clean = next(r["views"]["clean"] for r in numbers["rows"] if (r["ratio"], r["arm"]) == (0.1, "pseudo-label"))
    assert right == pytest.approx(clean, abs=0.03)


@pytest.mark.filterwarnings("default")
def test_the_champion_can_be_loaded_by_its_alias(demo: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{demo}/mlruns/mlflow.db")
    shares = mlflow.pyfunc.load_model("models:/kmpl@champion").predict(
        read("MNIST", train=False).images[:10, 0].numpy()
    )
    assert shares.shape == (10, 10)


def test_ui_answers_on_this_machine_only(demo: Path) -> None:
    with subprocess.Popen([KMPL, "ui", "--port", "5057"], cwd=demo) as server:
        try:
            for _ in range(120):
                try:
                    with urllib.request.urlopen("http://127.0.0.1:5057/", timeout=2) as page:
                        assert "MLflow" in page.read().decode()
                    break
                except OSError:
                    time.sleep(0.5)
            else:
                pytest.fail("the page did not answer")
        finally:
            server.terminate()
