"""What determines the result of each step, and how it is kept: one record a step."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmpl.config.experiment import Learning, Training
from kmpl.datasets.registry import content
from kmpl.method.kmeans import prepare
from kmpl.method.results import Clusters, Evaluation, PseudoLabels, Voted
from kmpl.method.step_inputs import EvaluateInput, RetrainInput, RoundInput, StepInput
from kmpl.method.steps import cluster_seed, retraining
from kmpl.models import registry as networks
from kmpl.models.network import Network
from kmpl.runtime.devices import place
from kmpl.store.fingerprints import code_version
from kmpl.store.store import Entry, content_digest
from kmpl.training.history import Epoch, Fit

WITHOUT_LABELS = "without labels"
"""What people are told that learning without labels is called."""
_LABELS = ("classes", "guesses", "confidence", "rounds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """How the results of one step are kept. ``unpack`` gives the bits that ``pack`` was given."""

    kind: str
    """Folder of the store."""
    code: str
    """Entry of ``kmpl.store.fingerprints._CODE``: the modules that the step runs."""
    inputs: Callable[[Any], dict[str, Any]]
    """What the step is given → all of it that determines the result."""
    pack: Callable[[Any], Entry]
    """The result → what is kept."""
    unpack: Callable[[Entry, Any], Any]
    """What was kept, and what the step is given → the result."""
    title: Callable[[Any], str] | None = None
    """What the step is given → its name for people, who are told where it was found; None: they are not."""


def weights_digest(network: Network) -> str:
    """Return the digest of a network's weights."""
    return content_digest(network.state_dict())


# Training


def _training_inputs(given: StepInput, task: str, training: Training, **more: Any) -> dict[str, Any]:
    config = given.config
    about = {"pool": given.pool.digest, "classes": len(given.pool.classes), "network": config.network}
    about |= {"seed": config.seed, "augmentation": config.augmentation.model_dump()}
    return about | {"task": task, "training": training.model_dump(exclude={"last_round"})} | more


def _pretrain_inputs(given: StepInput) -> dict[str, Any]:
    return _training_inputs(given, "pretrain", given.config.pretrain)


def _retrain_inputs(given: RetrainInput) -> dict[str, Any]:
    """The round is not among them: with equal epochs each trains alike, so equal labels give an equal network."""
    voting = given.config.pseudo_labels.model_dump(include={"labelled_share", "weighted"})
    training = retraining(given.config, given.number)
    return _training_inputs(given, "retrain", training, labels=labels_digest(given.labels), **voting)


def _pack_fit(fit: Fit) -> Entry:
    about = {name: getattr(fit, name) for name in ("kept_epoch", "stop_reason", "images", "seconds")}
    about["history"] = [asdict(epoch) for epoch in fit.history]
    return Entry(tensors=fit.network.state_dict(), about=about)


def _unpack_fit(entry: Entry, given: StepInput) -> Fit:
    config = given.config
    network = networks.build(
        config.network, channels=given.pool.images.shape[1], n_classes=len(given.pool.classes), seed=0
    )
    network.load_state_dict(entry.tensors)
    about = entry.about | {"history": tuple(Epoch(**epoch) for epoch in entry.about["history"])}
    return Fit(network=place(network, config.device, config.precision), **about)


# Learning without labels


def pretext_inputs(config: Learning, images: Tensor) -> dict[str, Any]:
    """Return what determines features without labels, but for the seed."""
    return {
        "images": content_digest({"": images}),
        "network": config.network,
        "augmentation": config.augmentation.model_dump(),
        "pretext": config.pretext.model_dump(exclude={"up_to"}),
        "clustering": config.clustering.model_dump(include={"maps", "l2", "whiten"}),
    }


def _pretext_of_pool_inputs(given: StepInput) -> dict[str, Any]:
    return pretext_inputs(given.config, given.pool.images) | {"seed": given.config.seed, "of": "pool"}


# Pseudo-labels


def labels_digest(labels: PseudoLabels | None) -> str:
    """Return the digest of pseudo-labels; empty for none."""
    return content_digest(_label_tensors(labels)) if labels else ""


def _label_tensors(labels: PseudoLabels) -> dict[str, Tensor]:
    arrays = {name: getattr(labels, name) for name in _LABELS}
    if labels.clusters:
        arrays |= {"assignment": labels.clusters.assignment, "centroids": labels.clusters.centroids}
    return {name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _vote_inputs(given: RoundInput) -> dict[str, Any]:
    config = given.config
    return {
        "pool": given.pool.digest,
        "network": config.network,
        "weights": weights_digest(given.fit.network),
        "seed": config.seed,
        "previous": labels_digest(given.previous),
        "number": given.number,
        "features": "" if given.features is None else content_digest({"": torch.as_tensor(given.features)}),
        "clustering": config.clustering.model_dump(),
        "settings": config.pseudo_labels.model_dump(exclude={"rounds", "labelled_share", "weighted"}),
        "embed": code_version("embed"),
    }


def _pack_vote(voted: Voted) -> Entry:
    inertia = voted.labels.clusters.inertia if voted.labels.clusters else None
    return Entry(tensors=_label_tensors(voted.labels), about={"seconds": voted.seconds, "inertia": inertia})


def _unpack_vote(entry: Entry, given: RoundInput) -> Voted:
    assert given.embed is not None, "a cached round embeds by the store"
    clustering = given.config.clustering
    deep, probabilities = given.embed(given.fit.network, given.pool.images, components=clustering.maps)
    seed = cluster_seed(given.config, given.number)
    features = prepare(deep, clustering, seed) if given.features is None else given.features
    arrays = {name: entry.array(name) for name in _LABELS}
    clusters = None
    if "centroids" in entry.tensors:
        clusters = Clusters(
            assignment=entry.array("assignment"), centroids=entry.array("centroids"), inertia=entry.about["inertia"]
        )
    return Voted(
        features=features,
        labels=PseudoLabels(**arrays, clusters=clusters),
        seconds=entry.about["seconds"],
        probabilities=probabilities,
    )


# The test


def _evaluate_inputs(given: EvaluateInput) -> dict[str, Any]:
    config = given.config
    return {
        "network": config.network,
        "weights": weights_digest(given.network),
        "dataset": config.dataset,
        "content": content(config.dataset),
        "protocol": config.protocol,
        "image_size": config.pool.image_size,
    }


def _pack_evaluation(evaluation: Evaluation) -> Entry:
    about = {name: value for name, value in asdict(evaluation).items() if name != "confusion"}
    return Entry(tensors={"confusion": torch.as_tensor(evaluation.confusion)}, about=about)


def _unpack_evaluation(entry: Entry, _: EvaluateInput) -> Evaluation:
    about = entry.about | {"class_accuracy": tuple(entry.about["class_accuracy"])}
    return Evaluation(confusion=entry.array("confusion"), **about)


CACHED: Mapping[str, Cached] = {
    "pretrain": Cached(
        kind="networks",
        code="fit",
        inputs=_pretrain_inputs,
        pack=_pack_fit,
        unpack=_unpack_fit,
        title=lambda _: "pretrain",
    ),
    "pretext": Cached(
        kind="features",
        code="pretext",
        inputs=_pretext_of_pool_inputs,
        pack=lambda features: Entry(tensors={"features": torch.as_tensor(features)}, about={}),
        unpack=lambda entry, _: entry.array("features"),
        title=lambda _: WITHOUT_LABELS,
    ),
    "pseudo_label": Cached(
        kind="pseudo-labels",
        code="vote",
        inputs=_vote_inputs,
        pack=_pack_vote,
        unpack=_unpack_vote,
    ),
    "retrain": Cached(
        kind="networks",
        code="fit",
        inputs=_retrain_inputs,
        pack=_pack_fit,
        unpack=_unpack_fit,
        title=lambda given: f"retrain, round {given.number}",
    ),
    "evaluate": Cached(
        kind="evaluations",
        code="evaluate",
        inputs=_evaluate_inputs,
        pack=_pack_evaluation,
        unpack=_unpack_evaluation,
    ),
}
"""How each step is kept. Those that are not in here, ``load`` and ``report``, give nothing that is worth keeping."""
