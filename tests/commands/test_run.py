"""What people add of their own runs like what kmpl brings."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import write_photographs
from sklearn.metrics import pairwise_distances_argmin
from torch import Generator, Tensor, nn

from kmpl.cli import main
from kmpl.config.choices import Choice
from kmpl.config.datasets import DATASETS
from kmpl.config.networks import NETWORKS
from kmpl.config.strategies import STRATEGIES, Strategy
from kmpl.datasets import mnist
from kmpl.datasets.pool import PROTOCOLS
from kmpl.datasets.types import Images
from kmpl.images.views import VIEWS, View
from kmpl.method.pseudo_labels import Evidence, Guess
from kmpl.models.backbones import embedding
from kmpl.models.network import Network


def two_digits(train: bool) -> Images:
    """The zeros and ones among the first digits: a data set."""
    data = mnist.read(train)
    few = torch.nonzero(data.labels[:2_000] < 2)[:, 0]
    return Images(images=data.images[few], labels=data.labels[few], classes=("zero", "one"))


def upside_down(images: Tensor, generator: Generator) -> Tensor:  # noqa: ARG001
    """A view."""
    return images.flip(-2)


class Linear(Network):
    """A network: its features are the pixels."""

    dimension = 784

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784 * channels))
        self.head = nn.Linear(784 * channels, n_classes)


def nearest_label(evidence: Evidence) -> Guess:
    """A strategy: every image has the class of the labelled image that is most like it."""
    labelled = evidence.labelled
    nearest = pairwise_distances_argmin(evidence.features, evidence.features[labelled])
    return Guess(classes=evidence.labels[labelled][nearest], confidence=np.ones(len(nearest)))


pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own import
SETTINGS = "--dataset TwoDigits --network linear --pseudo-labels.strategy nearest-label --labels 20 --pool.size 200 \
    --pool.image-size 28 --pretrain.epochs 2 --pretrain.images-per-epoch 200 --retrain.epochs 1 \
    --retrain.images-per-epoch 200 --retrain.last-round 1 --pseudo-labels.rounds 1 --threads 1 --quiet"


def test_a_strategy_a_network_a_data_set_and_a_view_are_a_function_and_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DATASETS, "TwoDigits", Choice("TwoDigits", two_digits))
    monkeypatch.setitem(VIEWS, "upside-down", View("upside-down", upside_down))
    monkeypatch.setitem(NETWORKS, "linear", Choice("linear", Linear))
    monkeypatch.setitem(STRATEGIES, "nearest-label", Strategy("nearest-label", nearest_label))
    shown = ("clean", "upside-down")
    monkeypatch.setitem(PROTOCOLS, "notebook", replace(PROTOCOLS["notebook"], views=shown, test_views=shown))
    assert main(["run", *SETTINGS.split(), "--json", "report.json"]) == 0
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    after = report["arms"]["pseudo-label"]
    assert report["config"]["network"] == "linear"
    assert after["views"].keys() == set(shown)
    assert after["rounds"][0]["pseudo_label_accuracy"] > 0.9, "zeros are like zeros"


def test_a_folder_of_photographs_is_a_data_set_for_a_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    truth = write_photographs(tmp_path / "flat", per_class=8)
    for file, name in truth.items():
        (tmp_path / "pictures" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "flat" / file).rename(tmp_path / "pictures" / name / file)
    arms = "labelled-only,pseudo-label"
    command = ["run", "--dataset=folder:pictures", "--protocol=literature", "--labels=12", "--threads=1"]
    command += ["--backbone=efficientnet-lite0"]
    assert main([*command, "--json=first.json", f"--arms={arms},oracle"]) == 0
    first = json.loads((tmp_path / "first.json").read_text(encoding="utf-8"))
    assert first["config"]["pseudo_labels"]["strategy"] == "cluster-ensemble"
    accuracy = {arm: numbers["test_accuracy"] for arm, numbers in first["arms"].items()}
    assert accuracy["labelled-only"] > 0.6
    assert accuracy["oracle"] >= accuracy["pseudo-label"] - 0.1
    monkeypatch.setattr(embedding, "embed_batch", never)
    more = ["--json=second.json", "--pseudo-labels.strategy=consensus", f"--arms={arms}"]
    assert main([*command, *more]) == 0
    second = json.loads((tmp_path / "second.json").read_text(encoding="utf-8"))
    assert second["arms"]["labelled-only"]["test_accuracy"] == accuracy["labelled-only"]
    assert second["config"]["pseudo_labels"]["strategy"] == "consensus"
    capsys.readouterr()


def never(*_: object) -> None:
    raise AssertionError("the features are in the store")
