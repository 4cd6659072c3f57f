"""Models found without MLflow: the same ones, the same bits, and MLflow is asked wherever that cannot be known."""

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from mlflow.utils import requirements_utils
from PIL import Image

from kmpl import tracking
from kmpl.cli import main
from kmpl.datasets import registry
from kmpl.datasets.folder_pool import pool_of
from kmpl.datasets.image_folder import read_folder
from kmpl.jobs.open_model import CHAMPION, open_classifier
from kmpl.models.classifier import probes
from kmpl.models.registry import build
from kmpl.tracking.champion import Candidate, promote
from kmpl.tracking.experiment_runs import start
from kmpl.tracking.load_model import open_model
from kmpl.tracking.local_models import find_weights, judged, lacks, last_labelling
from kmpl.tracking.log_model import log_model

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own import
Shown = pytest.CaptureFixture[str]


def logged(folder: Path, images: np.ndarray, name: str) -> str:
    """Log a network for pictures (N, height, width[, 3]) as the model of a labelling; return the run."""
    for number, pixels in enumerate(images):
        path = folder / name / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    found = read_folder(folder / name, size=28)
    client = tracking.open_store(folder / "mlruns")
    run = start(client, name, {"kind": "labelling"})
    pool = pool_of(found, np.zeros(len(images), dtype=bool))
    log_model(client, run, network=build("cnn", channels=pool.raw_shape[0], n_classes=2, seed=0), pool=pool, title=name)
    client.set_terminated(run)
    return run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with two labellings, of grey and of colour pictures, and their runs."""
    folder = tmp_path_factory.mktemp("store")
    grey = registry.read("MNIST", True).images[:6, 0].numpy()
    return (
        folder,
        logged(folder, grey, "grey"),
        logged(folder, np.stack([grey, grey // 2, grey // 3], axis=-1), "colour"),
    )


@pytest.fixture
def store(written: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, opened once, so that it is at home."""
    shutil.copytree(written[0], tmp_path / "store")
    monkeypatch.chdir(tmp_path / "store")
    with pytest.warns(UserWarning, match="before it was moved or copied"):
        tracking.open_store(Path("mlruns"))
    return tmp_path / "store"


def promoted(run: str, images: int) -> None:
    candidate = Candidate(run=run, task="MNIST", accuracy=0.95, loss=0.5, images=images, origin="a test")
    promote(tracking.open_store(Path("mlruns")), "kmpl", candidate)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("which", [1, 2])
def test_the_weights_give_the_bits_of_the_model_that_mlflow_serves(which: int, written: tuple[Path, str, str]) -> None:
    run = str(written[which])
    promoted(run, 200)
    served = open_model(Path("mlruns"), run).classifier
    assert find_weights(Path("mlruns"), run)
    for address in (run, f"runs:/{run}/model", CHAMPION, "models:/kmpl/1"):
        found = open_classifier(address, Path("mlruns"))
        assert (found.classes, found.raw_shape) == (served.classes, served.raw_shape)
        assert found.conversion == served.conversion
        images = probes(found.raw_shape, 300)
        for n in (1, 3, 256):
            np.testing.assert_array_equal(found.classify(images[:n]), served.classify(images[:n]))
    assert served.classify(images).std(axis=0).max() > 1e-4


def test_to_predict_takes_neither_mlflow_nor_pytorchs_exporter(store: Path, written: tuple[Path, str, str]) -> None:
    script = "import sys; from kmpl.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", script, "predict", "grey/0/0.png", "--model", written[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=store)
    assert "grey/0/0.png," in done.stdout
    assert not {"mlflow", "sklearn", "torch._dynamo.convert_frame", "torchvision"} & {*done.stdout.split()}


def test_without_a_champion_the_last_labelling_is_named_with_the_whole_command(
    store: Path, written: tuple[Path, str, str], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kmpl.tracking.load_model", None)  # who imports it fails: MLflow is not asked
    folder, mlruns = str(store / "grey"), ("--mlruns", str(store / "mlruns"))
    line = refused("predict", folder, "--format", "json", "--out", "a b.jsonl", *mlruns)
    assert f"there is no {CHAMPION} among the runs in" in line
    command = shlex.split(line.split("left a model, too: ")[1])
    assert command == [
        "kmpl",
        "predict",
        folder,
        "--format",
        "json",
        "--out",
        "a b.jsonl",
        "--model",
        written[2],
        *mlruns,
    ]
    assert main(command[1:]) == 0
    assert Path("a b.jsonl").read_text(encoding="utf-8").count("\n") == 6
    with closing(sqlite3.connect(store / "mlruns" / "mlflow.db")) as database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
        database.commit()
    assert "left a model" not in refused("predict", folder, *mlruns)


@pytest.mark.usefixtures("store")
def test_a_champion_chosen_on_few_images_says_so_where_it_predicts(
    written: tuple[Path, str, str], capsys: Shown
) -> None:
    promoted(written[1], 20)
    assert main(["predict", "grey"]) == 0
    assert capsys.readouterr().err == (
        f"kmpl: {CHAMPION} was chosen on 20 validation images only, 95.0% of them right: on so few that says little\n"
    )
    assert main(["predict", "grey", "--model", written[1]]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("store")
def test_mlflow_is_asked_where_a_look_does_not_tell(
    written: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlruns, run = Path("mlruns"), written[1]
    promoted(run, 20)
    assert find_weights(mlruns, run)
    assert not lacks(mlruns, CHAMPION)
    assert lacks(mlruns, "models:/other@champion")
    assert last_labelling(mlruns) == written[2]
    assert find_weights(mlruns, "0" * 32) is find_weights(mlruns, "models:/kmpl/99") is None

    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        assert find_weights(mlruns, run) is last_labelling(mlruns) is judged(mlruns, CHAMPION) is None
        assert not lacks(mlruns, CHAMPION)
    with closing(sqlite3.connect("mlruns/mlflow.db")) as database:

        def change(text: str) -> None:
            database.execute(text)
            database.commit()

        change("UPDATE experiment_tags SET value = '/elsewhere' WHERE key = 'kmpl.home'")
        assert find_weights(mlruns, run) is None  # moved: its locations are wrong until it is opened
        change(f"UPDATE experiment_tags SET value = '{Path.cwd() / 'mlruns'}' WHERE key = 'kmpl.home'")
        assert find_weights(mlruns, run)
        change(f"UPDATE logged_models SET source_run_id = '{run}'")
        assert find_weights(mlruns, run) is None  # two models, one file of weights
        change("ALTER TABLE logged_models RENAME TO of_another_version")
        assert find_weights(mlruns, run) is None
        change("UPDATE experiments SET lifecycle_stage = 'deleted'")
        assert last_labelling(mlruns) is None


def test_a_damaged_file_of_weights_is_passed_over(store: Path, written: tuple[Path, str, str], capsys: Shown) -> None:
    weights = find_weights(Path("mlruns"), written[1])
    assert weights
    assert main(["predict", "grey", "--model", written[1]]) == 0
    whole = capsys.readouterr().out
    os.truncate(weights, 1_000)
    assert main(["predict", "grey", "--model", written[1]]) == 0
    assert capsys.readouterr().out == whole
    assert (store / "mlruns").is_dir()


def test_to_log_a_model_not_all_installed_packages_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def packages() -> dict[str, list[str]]:
        calls.append("more than a second")
        return {}

    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(requirements_utils.importlib_metadata, "packages_distributions", packages)
    logged(tmp_path, registry.read("MNIST", True).images[:6, 0].numpy(), "digits")
    assert not calls
    assert requirements_utils._MODULES_TO_PACKAGES is None, "who needs them all can find them still"
    [needed] = (tmp_path / "mlruns").rglob("requirements.txt")
    installed = [f"{name}=={metadata.version(name)}" for name in ("mlflow", "numpy", "torch")]
    assert sorted(needed.read_text(encoding="utf-8").split()) == installed
