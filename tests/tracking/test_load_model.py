"""The champion of a real run: predicted by every address, exported, and served to the guide's own curl call."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pytest
import torch
from deep_files import write_png
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from PIL import Image

from kmpl import tracking
from kmpl.cli import main
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets import registry
from kmpl.datasets.folder_pool import pool_of
from kmpl.datasets.image_folder import read_folder
from kmpl.images.conversion import Conversion
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.results import ArmReport
from kmpl.method.step_interface import Steps
from kmpl.models.model_file import read_model
from kmpl.models.raw_image_classifier import RawImageClassifier
from kmpl.models.registry import build
from kmpl.runtime.servers import HOST, free_port, wait_for
from kmpl.tracking.champion import Candidate, promote
from kmpl.tracking.client import search
from kmpl.tracking.experiment_runs import experiment_run, start
from kmpl.tracking.load_model import fetch_state, open_model
from kmpl.tracking.log_model import log_model

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own import

BIN = Path(sys.prefix) / "bin"
GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "predict-serve-export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def champion(tiny: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, ArmReport]:
    """A folder with twelve digits and the runs of a tiny experiment, its arm's run, and what that arm trained."""
    folder = tmp_path_factory.mktemp("champion")
    client, config = tracking.open_store(folder / "mlruns"), merge(tiny, {"arms": ("labelled-only",)})
    with experiment_run(client, config) as tracked:
        steps = Steps(evaluate=evaluate, begun=tracked.log_pool, report=tracked.log_arm)
        (arm,) = experiment.run(config, steps).arms.values()
    run = search(client, kind="arm")[0].info.run_id
    promote(client, "kmpl", Candidate(run=run, task="MNIST", accuracy=0.9, loss=0.5, images=100, origin="a test"))
    for i, pixels in enumerate(registry.read("MNIST", False).images[:12, 0].numpy()):
        (folder / "digits").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "digits" / f"{i:02d}.png")
    return folder, run, arm


@pytest.fixture
def folder(champion: tuple[Path, str, ArmReport], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(champion[0])
    return champion[0]


@pytest.fixture
def wanted(champion: tuple[Path, str, ArmReport], tiny: ExperimentConfig) -> np.ndarray:
    """What the trained network says of the digits' arrays, (12, 10)."""
    with torch.inference_mode():
        model = RawImageClassifier(champion[2].fit.network, tiny.pool.image_size)
        wanted = model(registry.read("MNIST", False).images[:12, 0]).numpy()
    assert wanted.std(axis=0).max() > 1e-3
    return wanted


def probabilities(text: str) -> np.ndarray:
    return np.array([[float(row[f"p_{c}"]) for c in range(10)] for row in csv.DictReader(io.StringIO(text))])


@pytest.mark.usefixtures("folder")
def test_every_address_of_the_champion_gives_the_trained_networks_probabilities(
    champion: tuple[Path, str, ArmReport], wanted: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in (
        [],
        ["--model", "models:/kmpl/1"],
        ["--model", f"runs:/{champion[1]}/model"],
        ["--model", champion[1]],
    ):
        assert main(["predict", "digits", *model]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        np.testing.assert_allclose(probabilities(printed.out), wanted, atol=2e-6)


@pytest.mark.usefixtures("folder")
def test_the_champion_becomes_files_that_say_the_same(wanted: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--onnx", "champion.onnx", "--safetensors", "champion.safetensors"]) == 0
    assert "largest difference from PyTorch" in capsys.readouterr().out
    for model in ("champion.onnx", "champion.safetensors"):
        assert main(["predict", "digits", "--model", model]) == 0
        np.testing.assert_allclose(probabilities(capsys.readouterr().out), wanted, atol=5e-6)


def test_models_that_are_not_there_are_one_line(
    champion: tuple[Path, str, ArmReport], refused: Callable[..., str]
) -> None:
    folder, run, _ = champion

    def line(model: str) -> str:
        return refused("predict", str(folder / "digits"), "--mlruns", str(folder / "mlruns"), "--model", model)

    assert "there is no models:/other@champion among the runs at " in line("models:/other@champion")
    assert "`kmpl sweep` trains models and registers the best" in line("models:/kmpl/99")
    assert "there is no runs:/" in line(f"runs:/{'0' * 32}/model")
    assert "there is no 0000" in line("0" * 32)
    client = tracking.open_store(folder / "mlruns")
    (parent,) = search(client, kind="experiment")
    assert f"has no model; those below it have: {run} (labelled-only)" in line(parent.info.run_id)
    assert "has no model; name an arm's run" in line(start(client, "empty", {}))


def test_a_model_that_is_none_of_kmpls_is_one_line(folder: Path, refused: Callable[..., str]) -> None:
    client = tracking.open_store(folder / "mlruns")
    run = start(client, "other", {})
    with mlflow.start_run(run_id=run):
        info = mlflow.pytorch.log_model(
            torch.nn.Linear(3, 2),
            name="model",
            input_example=np.zeros((2, 3), dtype=np.float32),
            serialization_format="pt2",
            pip_requirements=[],
        )
    line = refused("predict", "digits", "--mlruns", str(folder / "mlruns"), "--model", info.model_uri)
    assert "is no model of raw images that kmpl logged" in line


def guide_line(beginning: str) -> str:
    """Return the guide's command that begins so, without its comment."""
    found = re.search(rf"^{re.escape(beginning)}.*$", GUIDE, re.MULTILINE)
    assert found, f"the guide has no command that begins with {beginning}"
    return found[0].split("  #")[0].strip()


@contextlib.contextmanager
def served(command: str, folder: Path, port: int) -> Iterator[None]:
    """Start a server with a command line of the guide's, on another port; stop it and all it started."""
    words = shlex.split(command.replace("5001", str(port)))
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    activated = {"PATH": f"{BIN}:{os.environ['PATH']}"}  # MLflow looks for uvicorn there
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            words[len(variables) :],
            cwd=folder,
            env=os.environ | variables | activated,
            executable=BIN / "mlflow",
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while not wait_for(f"http://{HOST}:{port}/ping", 1):
            assert server.poll() is None, (folder / "server.log").read_text()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_the_served_champion_answers_the_guides_curl_call(folder: Path, wanted: np.ndarray) -> None:
    request = shlex.split(guide_line("kmpl predict digits --format request"))
    assert main(request[1:]) == 0
    port = free_port()
    with served(guide_line("MLFLOW_DISABLE_TELEMETRY=true"), folder, port):
        curl = guide_line("curl ").replace("5001", str(port))
        done = subprocess.run(shlex.split(curl), cwd=folder, capture_output=True, text=True, check=True)
        np.testing.assert_allclose(np.array(json.loads(done.stdout)["predictions"]), wanted, atol=1e-6)
        answers = [asked(port, digits) for digits in WRONG]
    assert [status for status, _ in answers] == [400] * len(WRONG)
    for (_, said), reason in zip(answers, WRONG.values(), strict=True):
        assert reason in said
        assert "each pixel a whole number from 0 to 255" in said


def body(change: Callable[[np.ndarray], np.ndarray]) -> str:
    """Return a request with the guide's first three digits, changed."""
    digits = json.loads(Path("request.json").read_text(encoding="utf-8"))["inputs"][:3]
    return json.dumps({"inputs": change(np.array(digits)).tolist()})


def asked(port: int, change: Callable[[np.ndarray], np.ndarray]) -> tuple[int, str]:
    """Return the server's status, and what it said of a request."""
    header = {"Content-Type": "application/json"}
    answer = httpx.post(f"http://{HOST}:{port}/invocations", content=body(change), headers=header, timeout=60)
    return answer.status_code, answer.json()["message"]


def with_one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(digits: np.ndarray) -> np.ndarray:
        changed = digits.astype(float)
        changed[2, 5, 7] = value
        return changed

    return change


WRONG: dict[Callable[[np.ndarray], np.ndarray], str] = {
    (lambda digits: digits / 255): "image 0 has 0.",
    with_one(3.7): "image 2 has 3.7 at [5, 7]",
    with_one(256): "image 2 has 256 at [5, 7]",
    with_one(-1): "image 2 has -1 at [5, 7]",
    (
        lambda digits: digits[:, :14]
    ): "images of shape (28, 28) are wanted, any number of them; got an array of shape (3, 14, 28)",
    (lambda digits: digits.astype(str)): "numbers are wanted, got ",
    (lambda digits: (digits > 99).astype(float)): "all pixels are 0.0 or 1.0, which says that they were scaled",
}
"""What is done to digits → what the server says of it."""


def test_a_model_of_an_earlier_version_is_loaded_by_what_it_says_of_its_input(
    champion: tuple[Path, str, ArmReport],
    folder: Path,
    wanted: np.ndarray,
    tiny: ExperimentConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = start(tracking.open_store(folder / "mlruns"), "earlier", {})
    with mlflow.start_run(run_id=run):
        info = mlflow.pytorch.log_model(
            RawImageClassifier(champion[2].fit.network, tiny.pool.image_size),
            name="model",
            signature=ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, 28, 28))])),
            input_example=np.zeros((2, 28, 28), dtype=np.uint8),
            serialization_format="pt2",
            pip_requirements=[],
            metadata={"classes": [str(c) for c in range(10)]},
        )
    assert main(["predict", "digits", "--model", info.model_uri]) == 0
    np.testing.assert_allclose(probabilities(capsys.readouterr().out), wanted, atol=2e-6)


def test_how_deep_and_transparent_pictures_are_read_goes_with_the_model(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / "in" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.arange(28 * 28, dtype=np.uint16).reshape(28, 28) + number)
    for number in range(2):
        drawing = np.zeros((20, 20), dtype=np.uint8)
        drawing[3:9, 4:12] = 255
        white = Image.merge("LA", [Image.new("L", (20, 20), 255), Image.fromarray(drawing)])
        white.save(tmp_path / "in" / str(number) / "white.png")
    found = read_folder(tmp_path / "in", size=28)
    client = tracking.open_store(tmp_path / "mlruns")
    run = start(client, "deep", {})
    log_model(
        client,
        run,
        network=build("cnn", channels=1, n_classes=2, seed=0),
        pool=pool_of(found, np.zeros(8, dtype=bool)),
        title="a test",
    )
    model = open_model(tmp_path / "mlruns", run)
    weights = read_model(fetch_state(tmp_path / "mlruns", run, tmp_path))
    assert model.conversion == weights.conversion == Conversion({"16-bit": (0.0, 1023.0)}, ground=0)
    for file, image in zip(found.files, found.images, strict=True):
        np.testing.assert_array_equal(model.classifier.read(tmp_path / "in" / file), image[0].numpy())
