"""The way to label a folder: what its given labels choose for digits and for photographs, and what settings ask for."""

import csv
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from photographs import write_labels, write_photographs
from PIL import Image

from kmpl.config.labelling import LabelOptions
from kmpl.config.presets import merge
from kmpl.datasets import registry
from kmpl.datasets.folder_pool import UNCHECKED_WEIGHT
from kmpl.datasets.image_folder import FolderImages, read_folder
from kmpl.datasets.types import UNLABELLED
from kmpl.formats.records import CLUSTER, GIVEN
from kmpl.jobs import embed_folder
from kmpl.labelling import ways
from kmpl.labelling.job import run
from kmpl.labelling.label_table import records_of
from kmpl.labelling.summary import summary_line
from kmpl.labelling.ways import Choice, choose
from kmpl.method import steps as method_steps
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.store.store import Store

LEARNING = LabelOptions(backbone="efficientnet-lite0", threads=1)
OVERRIDES = {"threads": 1, "folds": 2}
BRIEF = {"epochs": 4, "images_per_epoch": 600, "batch_size": 32}


def briefly(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the same step with shorter training: settings of training would ask for no backbone."""
    change = {"pretrain": BRIEF, "retrain": BRIEF | {"epochs": 2}, "pseudo_labels": {"rounds": 1}}
    return lambda inputs: step(replace(inputs, config=merge(inputs.config, change)))


def brief_steps() -> Steps:
    return Steps(
        evaluate=no_test_set("a folder has none"),
        pretrain=briefly(method_steps.pretrain),
        retrain=briefly(method_steps.retrain),
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> FolderImages:
    """A hundred digits of four kinds, six of each with a label, and features of a network that knows photographs."""
    root = tmp_path_factory.mktemp("digits")
    data = registry.read("MNIST", train=True)
    chosen = np.flatnonzero(data.labels.numpy() < 4)[:100]
    seen = [0] * 4
    rows = []
    for place, source in enumerate(chosen):
        Image.fromarray(data.images[source, 0].numpy()).save(root / f"{place:03}.png")
        label = int(data.labels[source])
        if seen[label] < 6:
            seen[label] += 1
            rows.append((f"{place:03}.png", label))
    with (root / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    return embed_folder.embed(read_folder(root, size=28), LEARNING, Store(root.parent / "cache"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> FolderImages:
    root = tmp_path_factory.mktemp("photographs")
    truth = write_photographs(root / "pictures", per_class=10)
    write_labels(root / "labels.csv", truth, per_class=4)
    images = read_folder(root / "pictures", root / "labels.csv")
    return embed_folder.embed(images, LEARNING, Store(root / "cache"))


def test_digits_are_learnt_where_that_finds_more_hidden_labels_again(
    digits: FolderImages,
) -> None:
    choice = choose(digits, OVERRIDES, brief_steps())
    assert choice.fit is not None
    found = int(choice.fit.hidden.right.sum())
    assert found >= 12
    if choice.job.config.backbone == "none":
        assert f"it finds {found} of 24 hidden labels again, features of efficientnet-lite0" in choice.reason
    else:
        assert f"{found} of 24 hidden labels are found again, by a network that learns" in choice.reason


def test_photographs_are_labelled_by_the_backbone_and_nothing_is_learnt(photographs: FolderImages) -> None:
    def never(_: Any) -> Any:
        raise AssertionError("nothing learns from photographs that pixels do not tell apart")

    grey = photographs.images.float().mean(dim=1, keepdim=True)  # without colours, which tell these windows apart
    images = replace(photographs, images=grey.repeat(1, 3, 1, 1).round().to(photographs.images.dtype))
    frozen_alone = lambda inputs: method_steps.pretrain(inputs) if inputs.pool.frozen else never(inputs)  # noqa: E731
    choice = choose(images, OVERRIDES, replace(brief_steps(), pretrain=frozen_alone))
    assert choice.job.config.backbone == "efficientnet-lite0"
    assert "hidden labels are found again, by pixels alone" in choice.reason


@pytest.mark.parametrize(
    ("overrides", "backbone"),
    [
        ({"backbone": "none"}, "none"),
        ({"backbone": "efficientnet-lite0"}, "efficientnet-lite0"),
        ({"pretrain": {"epochs": 2}}, "none"),
        ({"network": "vgg16"}, "none"),
        ({"clustering": {"n_clusters": 9}}, "auto"),
    ],
)
def test_what_settings_ask_for_is_not_tested(overrides: dict[str, Any], backbone: str) -> None:
    assert ways.asked_backbone(overrides) == backbone


def test_a_backbone_that_was_asked_for_is_taken_untested(digits: FolderImages) -> None:
    choice = choose(digits, OVERRIDES | {"backbone": "efficientnet-lite0"}, brief_steps())
    assert choice == Choice(job=choice.job)
    assert choice.job.config.pseudo_labels.strategy == "cluster-ensemble"
    assert choice.job.options.validation == 0


@pytest.mark.parametrize(("check", "words"), [("on", "no label could be hidden"), ("off", "nothing was compared")])
def test_without_a_test_colour_decides(digits: FolderImages, photographs: FolderImages, check: str, words: str) -> None:
    for images, backbone in ((digits, "none"), (photographs, "efficientnet-lite0")):
        first = [np.flatnonzero(images.labels == c)[0] for c in range(len(images.classes))]
        single = np.full(len(images.labels), UNLABELLED)
        single[first] = images.labels[first]
        choice = choose(replace(images, labels=single), OVERRIDES | {"check": check}, brief_steps())
        assert choice.job.config.backbone == backbone
        assert words in choice.reason


def test_a_folder_without_features_learns(photographs: FolderImages) -> None:
    choice = choose(replace(photographs, frozen=None), OVERRIDES, brief_steps())
    assert (choice.job.config.backbone, choice.reason) == ("none", "")


def test_labels_by_cluster_weigh_less_and_are_no_evidence(digits: FolderImages) -> None:
    """Nobody looked at those images: they train, with less weight, and what finds them again proves nothing."""
    given = np.flatnonzero(digits.labels != UNLABELLED)
    by_cluster = frozenset(digits.files[i] for i in given[::2])
    images = replace(digits, by_cluster=by_cluster)
    choice = choose(images, OVERRIDES | {"backbone": "efficientnet-lite0"}, brief_steps())
    pool = choice.job.pool
    assert pool.certainty is not None
    assert pool.digest != replace(choice.job, folder=digits).pool.digest
    weight_of = dict(zip((digits.files[i] for i in pool.sources), pool.certainty, strict=True))
    assert {weight_of[file] for file in by_cluster} == {UNCHECKED_WEIGHT}
    assert {weight for file, weight in weight_of.items() if file not in by_cluster} == {1.0}
    labelling, table = run(choice.job, brief_steps(), choice.fit)
    assert table.choice.n_hidden == len(given) - len(by_cluster)
    assert labelling.vote.labels.confidence[pool.labelled].max() == 1.0
    assert f"24 labels given ({len(by_cluster)} of them only as the name of a cluster)" in summary_line(table)
    rows = {record.file: record for record in records_of(table)}
    assert {(rows[file].source, rows[file].confidence, rows[file].round) for file in by_cluster} == {(CLUSTER, None, 0)}
    checked = {digits.files[i] for i in given} - by_cluster
    assert {(rows[file].source, rows[file].confidence) for file in checked} == {(GIVEN, 1.0)}
