"""What determines the result of each step, and how it is kept: one record a step."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kmpl.config.experiment import Learning, Training
from kmpl.datasets.registry import content
from kmpl.method.frozen_pool import backbone_of, in_order
from kmpl.method.kmeans import prepare
from kmpl.method.results import Clusters, Evaluation, PseudoLabels, Voted
from kmpl.method.step_inputs import EvaluateInput, RetrainInput, RoundInput, StepInput
from kmpl.method.steps import cluster_seed, retraining
from kmpl.models import registry as networks
from kmpl.models.backbones.backbone import Backbone
from kmpl.runtime.devices import to_device
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
    key_inputs: Callable[[Any], dict[str, Any]]
    """What the step is given → all of it that determines the result."""
    pack: Callable[[Any], Entry]
    """The result → what is kept."""
    unpack: Callable[[Entry, Any], Any]
    """What was kept, and what the step is given → the result."""
    title: Callable[[Any], str] | None = None
    """What the step is given → its name for people, who are told where it was found; None: they are not."""


def weights_digest(network: nn.Module) -> str:
    """Return the digest of a network's weights, also of a backbone whose weights are another runtime's, in a file."""
    return content_digest(network.state_dict(), network.file_digest if isinstance(network, Backbone) else "")


# Training


def _training_inputs(inputs: StepInput, task: str, training: Training, **more: Any) -> dict[str, Any]:
    config = inputs.config
    about = {"pool": inputs.pool.digest, "classes": len(inputs.pool.classes), "network": config.network}
    about |= {"seed": config.seed, "augmentation": config.augmentation.model_dump()}
    return about | {"task": task, "training": training.model_dump(exclude={"last_round"})} | more


def _pretrain_inputs(inputs: StepInput) -> dict[str, Any]:
    return _training_inputs(inputs, "pretrain", inputs.config.pretrain)


def _retrain_inputs(inputs: RetrainInput) -> dict[str, Any]:
    """The round is not among them: with equal epochs each trains alike, so equal labels give an equal network."""
    voting = inputs.config.pseudo_labels.model_dump(include={"labelled_share", "weighted"})
    training = retraining(inputs.config, inputs.number)
    return _training_inputs(inputs, "retrain", training, labels=labels_digest(inputs.labels), **voting)


def _pack_fit(fit: Fit) -> Entry:
    about = {name: getattr(fit, name) for name in ("kept_epoch", "stop_reason", "images", "seconds")}
    about["history"] = [asdict(epoch) for epoch in fit.history]
    return Entry(tensors=fit.network.state_dict(), about=about)


def _unpack_fit(entry: Entry, inputs: StepInput) -> Fit:
    config = inputs.config
    network = networks.build(
        config.network, channels=inputs.pool.images.shape[1], n_classes=len(inputs.pool.classes), seed=0
    )
    network.load_state_dict(entry.tensors)
    about = entry.about | {"history": tuple(Epoch(**epoch) for epoch in entry.about["history"])}
    return Fit(network=to_device(network, config.device, config.precision), **about)


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


def _pretext_of_pool_inputs(inputs: StepInput) -> dict[str, Any]:
    return pretext_inputs(inputs.config, inputs.pool.images) | {"seed": inputs.config.seed, "of": "pool"}


# Features of a backbone


def _embed_inputs(inputs: StepInput) -> dict[str, Any]:
    config = inputs.config
    backbone = backbone_of(config.backbone, config.backbone_weights)
    return {
        "weights": weights_digest(backbone),
        "size": backbone.size,
        "images": content_digest({"": in_order(inputs.pool)}),
    }


# Pseudo-labels


def labels_digest(labels: PseudoLabels | None) -> str:
    """Return the digest of pseudo-labels; empty for none."""
    return content_digest(_label_tensors(labels)) if labels else ""


def _label_tensors(labels: PseudoLabels) -> dict[str, Tensor]:
    arrays = {name: getattr(labels, name) for name in _LABELS}
    if labels.clusters:
        arrays |= {"assignment": labels.clusters.assignment, "centroids": labels.clusters.centroids}
    return {name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _vote_inputs(inputs: RoundInput) -> dict[str, Any]:
    config = inputs.config
    return {
        "pool": inputs.pool.digest,
        "network": config.network,
        "weights": weights_digest(inputs.fit.network),
        "seed": config.seed,
        "previous": labels_digest(inputs.previous),
        "number": inputs.number,
        "features": "" if inputs.features is None else content_digest({"": torch.as_tensor(inputs.features)}),
        "clustering": config.clustering.model_dump(),
        "settings": config.pseudo_labels.model_dump(exclude={"rounds", "labelled_share", "weighted"}),
        "embed": code_version("embed"),
    }


def _pack_vote(voted: Voted) -> Entry:
    inertia = voted.labels.clusters.inertia if voted.labels.clusters else None
    return Entry(tensors=_label_tensors(voted.labels), about={"seconds": voted.seconds, "inertia": inertia})


def _unpack_vote(entry: Entry, inputs: RoundInput) -> Voted:
    assert inputs.embed is not None, "a cached round embeds by the store"
    clustering = inputs.config.clustering
    deep, probabilities = inputs.embed(inputs.fit.network, inputs.pool.images, components=clustering.maps)
    seed = cluster_seed(inputs.config, inputs.number)
    features = prepare(deep, clustering, seed) if inputs.features is None else inputs.features
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


def _evaluate_inputs(inputs: EvaluateInput) -> dict[str, Any]:
    config = inputs.config
    return {
        "network": config.network,
        "weights": weights_digest(inputs.network),
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
        key_inputs=_pretrain_inputs,
        pack=_pack_fit,
        unpack=_unpack_fit,
        title=lambda _: "pretrain",
    ),
    "embed": Cached(
        kind="features",
        code="backbone",
        key_inputs=_embed_inputs,
        pack=lambda features: Entry(tensors={"features": torch.as_tensor(features)}, about={}),
        unpack=lambda entry, _: entry.array("features"),
    ),
    "pretext": Cached(
        kind="features",
        code="pretext",
        key_inputs=_pretext_of_pool_inputs,
        pack=lambda features: Entry(tensors={"features": torch.as_tensor(features)}, about={}),
        unpack=lambda entry, _: entry.array("features"),
        title=lambda _: WITHOUT_LABELS,
    ),
    "pseudo_label": Cached(
        kind="pseudo-labels",
        code="vote",
        key_inputs=_vote_inputs,
        pack=_pack_vote,
        unpack=_unpack_vote,
    ),
    "retrain": Cached(
        kind="networks",
        code="fit",
        key_inputs=_retrain_inputs,
        pack=_pack_fit,
        unpack=_unpack_fit,
        title=lambda inputs: f"retrain, round {inputs.number}",
    ),
    "evaluate": Cached(
        kind="evaluations",
        code="evaluate",
        key_inputs=_evaluate_inputs,
        pack=_pack_evaluation,
        unpack=_unpack_evaluation,
    ),
}
"""How each step is kept. Those that are not in here, ``load`` and ``report``, give nothing that is worth keeping."""
