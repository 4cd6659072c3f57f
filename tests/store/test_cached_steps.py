"""Kept steps change nothing but the time: whatever the store holds, the numbers are those of the plain steps."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kmpl.config.base import flatten
from kmpl.config.choices import Choice
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.networks import NETWORKS
from kmpl.config.presets import load, merge
from kmpl.datasets import registry, test_set
from kmpl.datasets.types import Images, Pool
from kmpl.errors import DamagedWarning
from kmpl.method import experiment, steps
from kmpl.method.evaluation import evaluate
from kmpl.method.results import Evaluation, Report
from kmpl.method.step_inputs import EvaluateInput, RoundInput, StepInput
from kmpl.method.step_interface import Steps
from kmpl.models import cnn, embedding, network
from kmpl.models import registry as networks
from kmpl.store.cached_steps import cached
from kmpl.store.store import Store
from kmpl.training.watch import Watch

_TRAINING = {"epochs": 1, "batch_size": 16, "ema": 0.0, "learning_rate": 0.005, "clustering_loss": 0.05}
_SMALL = {
    "protocol": "literature",
    "ratio": 0.2,
    "threads": 1,
    "pool": {"size": 200, "image_size": 16},
    "pretrain": _TRAINING | {"images_per_epoch": 160},
    "retrain": _TRAINING | {"images_per_epoch": 64},
    "pretext": {"up_to": 5, "n_clusters": 20, "rounds": 1, "training": _TRAINING | {"images_per_epoch": 64}},
    "clustering": {"n_clusters": 20, "n_prototypes": 12},
    "pseudo_labels": {"strategy": "consensus", "rounds": 1, "threshold": 0.1},  # what more settings bear on
}
SMALL = load(change=_SMALL)


class Negative(cnn.CNN):
    """The same weights in the same shapes, but another function of the images."""

    def maps(self, images: Tensor) -> Tensor:
        return super().maps(1 - images)


def _few(name: str, train: bool, size: int = 0) -> Images:  # noqa: ARG001
    """Return MNIST's first thousand digits, and under another name their negatives."""
    data = _read(train)
    return data if name == "MNIST" else replace(data, images=255 - data.images)


@cache
def _read(train: bool) -> Images:
    data = registry.read("MNIST", train)
    return Images(images=data.images[:1_000].clone(), labels=data.labels[:1_000].clone(), classes=data.classes)


@pytest.fixture(scope="module", autouse=True)
def few_images() -> Iterator[None]:
    """Real images, but few: what is tested here is not how well they are told apart."""
    test_set._rendered.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kmpl.datasets.pool.read", _few)
        patch.setattr("kmpl.datasets.test_set.read", lambda name, train, size: _head(_few(name, train, size), 150))
        patch.setitem(NETWORKS, "negative", Choice("negative", Negative))
        yield
    test_set._rendered.cache_clear()


def _head(data: Images, n: int) -> Images:
    return replace(data, images=data.images[:n], labels=data.labels[:n])


def plain(config: ExperimentConfig, **handed: Any) -> Report:
    return experiment.run(config, Steps(**({"evaluate": evaluate} | handed)))


def stored(config: ExperimentConfig, store: Store, **handed: Any) -> Report:
    return experiment.run(config, cached(Steps(**({"evaluate": evaluate} | handed)), store))


def bits(what: Any) -> Any:
    """Return all of it but wall times, in a form in which equal means equal to the last bit."""
    if isinstance(what, nn.Module):
        return bits(what.state_dict())
    if is_dataclass(what):
        return {f.name: bits(getattr(what, f.name)) for f in fields(what) if f.name != "seconds"}
    if isinstance(what, Mapping):
        return {name: bits(value) for name, value in what.items()}
    if isinstance(what, list | tuple):
        return [bits(value) for value in what]
    array = what.numpy() if isinstance(what, Tensor) else what
    return (str(array.dtype), array.shape, array.tobytes()) if isinstance(array, np.ndarray) else repr(what)


def seconds(report: Report) -> list[dict[str, float]]:
    """Return all wall times: by step, and by epoch."""
    fits = [fit for arm in report.arms.values() for fit in (arm.fit, *(turn.fit for turn in arm.rounds))]
    return [arm.seconds for arm in report.arms.values()] + [
        {str(epoch.number): epoch.seconds for epoch in fit.history} for fit in fits
    ]


class Counted:
    """The plain steps, counted; and every pass of a network over images, by their number."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = Counter[str]()
        self.passes: list[tuple[int, Any]] = []
        embed = embedding.embed

        def counted(network: network.Network, images: Tensor, *more: Any, **named: Any) -> Any:
            self.passes.append((len(images), bits(network)))
            return embed(network, images, *more, **named)

        patch.setattr(embedding, "embed", counted)
        self.handed = {
            name: self._count(name, step)
            for name, step in (
                ("pretrain", steps.pretrain),
                ("pseudo_label", steps.pseudo_label),
                ("retrain", steps.retrain),
                ("evaluate", evaluate),
            )
        }

    def _count(self, name: str, step: Any) -> Any:
        def run(*inputs: Any, **more: Any) -> Any:
            self.calls[name] += 1
            return step(*inputs, **more)

        return run


@pytest.fixture(scope="module")
def expected() -> Report:
    torch.set_num_threads(1)
    return plain(SMALL)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that holds all steps of the small experiment, and then of every test that takes it."""
    store = Store(tmp_path_factory.mktemp("warm"))
    stored(SMALL, store)
    return store


def test_cold_and_warm_give_the_bits_of_the_plain_steps(expected: Report, tmp_path: Path) -> None:
    cold, warm = stored(SMALL, Store(tmp_path)), stored(SMALL, Store(tmp_path))
    assert bits(cold) == bits(expected)
    assert bits(warm) == bits(expected)
    assert seconds(warm) == seconds(cold) != seconds(expected)


def test_the_network_that_is_handed_on_computes_the_same_bits(expected: Report, warm: Store) -> None:
    found, images = stored(SMALL, warm), _few("MNIST", train=False).images
    for name, arm in expected.arms.items():
        assert bits(embedding.embed(found.arms[name].fit.network, images)) == bits(
            embedding.embed(arm.fit.network, images)
        )


def test_the_second_time_nothing_is_computed(warm: Store, expected: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    assert bits(stored(SMALL, warm, **counted.handed)) == bits(expected)
    assert not counted.calls
    assert not counted.passes


def test_steps_found_in_the_store_are_told_by_name(warm: Store) -> None:
    found: list[str] = []
    watch = Watch(found=found.append, epoch=lambda *_: pytest.fail("nothing is trained"))
    stored(merge(SMALL, {"pseudo_labels": {"rounds": 2}}), warm)
    stored(merge(SMALL, {"arms": "pseudo-label,oracle", "pseudo_labels": {"rounds": 2}}), warm)
    stored(merge(SMALL, {"arms": "pseudo-label,oracle", "pseudo_labels": {"rounds": 2}}), warm, watch=watch)
    assert found == ["pretrain", "retrain, round 1", "retrain, round 2", "retrain, round 0"]


def test_another_number_of_clusters_costs_neither_pretraining_nor_its_features(
    expected: Report, warm: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    stored(
        merge(SMALL, {"arms": "labelled-only,pseudo-label", "clustering": {"n_clusters": 17}}), warm, **counted.handed
    )
    assert counted.calls == {"pseudo_label": 1, "retrain": 1, "evaluate": 1}
    pretrained = bits(expected.arms["labelled-only"].fit.network)
    assert all(network != pretrained for _, network in counted.passes)
    assert len(expected.pool.images) not in [n for n, _ in counted.passes]


@pytest.mark.parametrize("name", ["pretrain", "pseudo_label", "retrain", "evaluate"])
def test_a_failure_costs_only_what_was_not_finished(
    name: str, expected: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the lamp went out")

    with pytest.raises(RuntimeError, match="the lamp went out"):
        stored(SMALL, Store(tmp_path), **{name: fail})
    counted = Counted(monkeypatch)
    assert bits(stored(SMALL, Store(tmp_path), **counted.handed)) == bits(expected)
    assert counted.calls["pretrain"] == (name == "pretrain")
    everything = {"pretrain": 1, "pseudo_label": 1, "retrain": 1, "evaluate": 2}
    assert counted.calls[name] == everything[name]


CHANGES: dict[str, Any] = {
    "backbone": "efficientnet-lite0",
    "backbone_weights": "download",
    "dataset": "KMNIST",
    "protocol": "notebook",
    "network": "negative",
    "device": "cpu",
    "precision": "float32",
    "threads": 2,
    "ratio": 0.3,
    "labels": 50,
    "seed": 1,
    "arms": "labelled-only,pseudo-label,notebook,self-training,label-spreading,oracle",
    "pool": {"size": 220, "views_per_image": 2, "image_size": 20, "validation": 0.5},
    "augmentation": {
        "strength": 0.5,
        "degrees": 30.0,
        "translate": 0.2,
        "scale": 0.4,
        "shear": 0.0,
        "elastic": 2.0,
        "elastic_grid": 8,
        "crop": 0.7,
        "cutout": 9,
        "brightness": 0.0,
        "contrast": 0.0,
        "views": 0.0,
        "flip": True,
    },
    "pretrain": (
        training_changes := {
            "epochs": 2,
            "images_per_epoch": 96,
            "batch_size": 32,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "weight_decay": 1.0,
            "schedule": "cosine",
            "label_smoothing": 0.2,
            "ema": 0.5,
            "clustering_loss": 0.5,
            "clustering_target": "cluster",
            "patience": 1,
        }
    ),
    "retrain": training_changes | {"last_round": 2},
    "pretext": {"up_to": 0, "n_clusters": 12, "rounds": 2, "training": training_changes},
    "clustering": {
        "algorithm": "seeded",
        "n_clusters": 15,
        "n_prototypes": 9,
        "l2": False,
        "maps": 8,
        "whiten": 8,
        "restarts": 9,
    },
    "pseudo_labels": {
        "strategy": "cluster-vote",
        "k": 5,
        "links": 2,
        "threshold": 0.3,
        "graph_threshold": 0.3,
        "rounds": 2,
        "soft_votes": False,
        "labelled_share": 0.8,
        "weighted": False,
    },
}
FIELDS = flatten(CHANGES)
# One epoch leaves patience nothing to choose; before pseudo-labels there are no clusters to pull to; the device is the
# same by another name, and so is the precision where the processor has no bfloat16; consensus has no graph; two
# threads may round alike; no view mirrors; and what is learnt without labels is not validated, and has no clusters but
# those it names.
_MAY_CHANGE_NOTHING = {
    "device",
    "precision",
    "threads",
    "augmentation.views",
    "pretrain.patience",
    "retrain.patience",
    "pretrain.clustering_target",
    "pretext.training.patience",
    "pretext.training.clustering_target",
}
_MAY_CHANGE_NOTHING |= {"backbone_weights", "pseudo_labels.links", "pseudo_labels.graph_threshold"}


# They go into the key in one piece with those that are always tried.
_SLOW = {"threads", "backbone"} | {
    name
    for name in FIELDS
    if name.startswith(("augmentation.", "pretrain.", "pretext.training."))
    and name not in ("augmentation.flip", "pretrain.epochs", "pretext.training.epochs")
}


def _changed(base: ExperimentConfig, name: str) -> ExperimentConfig:
    """Return the settings with one of them changed."""
    change: Any = FIELDS[name]
    for part in reversed(name.split(".")):
        change = {part: change}
    return merge(base, change)


def test_every_setting_is_tried() -> None:
    assert FIELDS.keys() == flatten(SMALL.model_dump()).keys()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in _SLOW)) for n in FIELDS])
def test_a_changed_setting_never_finds_what_was_computed_with_another(name: str, warm: Store, expected: Report) -> None:
    base, before = SMALL, expected
    if name == "clustering.n_prototypes":  # only the notebook has prototypes
        base = merge(SMALL, {"arms": "notebook"})
        before = stored(base, warm)
    if name.startswith("pretext."):  # only where labels are few for the clusters, and are spread
        few = {"pseudo_labels": {"strategy": "cluster-graph"}, "clustering": {"n_clusters": 150}}
        base = merge(SMALL, {"arms": "pseudo-label", **few})
        before = stored(base, warm)
    config = _changed(base, name)
    truly = bits(plain(config))
    assert name in _MAY_CHANGE_NOTHING or truly["arms"] != bits(before)["arms"]
    assert bits(stored(config, warm)) == truly
    assert bits(stored(config, warm)) == truly


def _negative(network: network.Network) -> network.Network:
    """Return another kind of network with the same weights."""
    other = networks.build("negative", channels=1, n_classes=10, seed=0)
    other.load_state_dict(network.state_dict())
    return other


@pytest.fixture(scope="module")
def pool() -> Pool:
    return steps.load(SMALL)[0]


def test_a_network_is_tested_anew_on_every_other_test(expected: Report, tmp_path: Path) -> None:
    network = expected.arms["labelled-only"].fit.network
    told = cached(Steps(evaluate=evaluate), Store(tmp_path))
    changes: list[dict[str, Any]] = [
        {},
        {"dataset": "KMNIST"},
        {"protocol": "notebook"},
        {"pool": {"image_size": 20}},
        {"network": "negative"},
    ]
    found = []
    for change in changes:
        config = merge(SMALL, change)
        tested = _negative(network) if "network" in change else network
        given = EvaluateInput(config=config, network=tested)
        truly = bits(evaluate(given))
        assert bits(told.evaluate(given)) == bits(told.evaluate(given)) == truly, change
        found.append(truly)
    assert all(one != other for i, one in enumerate(found) for other in found[:i])


def test_the_same_images_are_trained_on_anew_with_every_seed(pool: Pool, tmp_path: Path) -> None:
    told = cached(Steps(evaluate=evaluate), Store(tmp_path))
    for config in (SMALL, merge(SMALL, {"seed": 1})):
        given = StepInput(config=config, pool=pool)
        assert bits(told.pretrain(given)) == bits(steps.pretrain(given))


def test_a_rounds_vote_depends_on_network_seed_number_and_the_round_before(
    pool: Pool, expected: Report, tmp_path: Path
) -> None:
    told, arm = cached(Steps(evaluate=evaluate), Store(tmp_path)), expected.arms["pseudo-label"]
    start, before = expected.arms["labelled-only"].fit, arm.rounds[0].pseudo_labels
    other = replace(start, network=_negative(start.network))
    found = []
    for change, fit, earlier, number in (
        ({}, start, None, 1),
        ({}, start, None, 2),
        ({}, arm.fit, None, 2),
        ({"seed": 1}, start, None, 1),
        ({}, arm.fit, before, 2),
        ({"network": "negative"}, other, before, 2),
    ):
        config = merge(SMALL, change)
        given = RoundInput(config=config, pool=pool, number=number, fit=fit, previous=earlier)
        truly = bits(steps.pseudo_label(given))
        assert bits(told.pseudo_label(given)) == truly
        assert bits(told.pseudo_label(given)) == truly
        found.append(truly)
    assert all(one != other for i, one in enumerate(found) for other in found[:i])


def test_true_labels_of_unlabelled_images_are_in_no_key_but_the_oracles(
    warm: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = merge(SMALL, {"arms": "labelled-only,pseudo-label,notebook,self-training,label-spreading,oracle"})
    stored(config, warm)

    def shuffled(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
        pool, truth = steps.load(config)
        hidden = np.flatnonzero(~pool.labelled)
        truth = truth.copy()
        truth[hidden] = np.random.default_rng(3).permutation(truth[hidden])
        return pool, truth

    counted = Counted(monkeypatch)
    stored(config, warm, load=shuffled, **counted.handed)
    assert counted.calls == {"retrain": 1, "evaluate": 1}


@pytest.mark.parametrize("kind", ["networks", "features", "pseudo-labels", "evaluations"])
def test_a_damaged_entry_is_computed_again(kind: str, expected: Report, tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(SMALL, store)
    paths = sorted((tmp_path / "v1" / kind).rglob("*.safetensors"))
    whole = {path: path.read_bytes() for path in paths}
    for path, content in whole.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedWarning)
        again = stored(SMALL, store)
    assert sorted(str(w.message).split(" is damaged")[0] for w in caught) == [str(path) for path in paths]
    assert bits(again) == bits(expected)
    assert bits(stored(SMALL, store)) == bits(expected)
    assert all(path.read_bytes()[-1] == content[-1] for path, content in whole.items())


def test_a_network_trained_on_nothing_to_validate_with_is_found_too(warm: Store) -> None:
    """One label a class leaves no validation image: losses are NaN, which plain JSON does not know."""
    config = merge(SMALL, {"labels": 10})
    first, second = stored(config, warm), stored(config, warm)
    assert np.isnan(first.arms["labelled-only"].fit.validation_loss)
    assert bits(first) == bits(second) == bits(plain(config))


def test_an_evaluation_is_typed_as_it_was(warm: Store, expected: Report) -> None:
    found, plainly = stored(SMALL, warm), expected
    for name in found.arms:
        one, other = found.arms[name].evaluation, plainly.arms[name].evaluation
        for field in fields(Evaluation):
            assert type(getattr(one, field.name)) is type(getattr(other, field.name)), field.name
