"""The steps of the experiment, each computed once: its result is kept under the digest of all that determines it.

A step whose key is in the store is not computed again, whoever asks; so a killed experiment goes on where it was, and a
changed ``n_clusters`` costs no pretraining. Networks and labels enter a key by their content, not by their history.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmpl.config.experiment import ExperimentConfig, Learning
from kmpl.datasets.registry import content
from kmpl.datasets.types import Pool
from kmpl.method import pretext
from kmpl.method.experiment import Steps
from kmpl.method.kmeans import prepare
from kmpl.method.results import Clusters, Evaluation, PseudoLabels, Voted
from kmpl.method.steps import cluster_seed, retraining
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.models.network import Network
from kmpl.runtime.devices import to_device
from kmpl.store.fingerprints import code_version, key
from kmpl.store.store import Entry, Store, content_digest
from kmpl.training.history import Epoch, Fit
from kmpl.training.watch import Watch

_LABELS = ("classes", "guesses", "confidence", "rounds")


def labels_digest(labels: PseudoLabels | None) -> str:
    """Return the digest of pseudo-labels; empty for none."""
    return content_digest(_label_tensors(labels)) if labels else ""


def _label_tensors(labels: PseudoLabels) -> dict[str, Tensor]:
    arrays = {name: getattr(labels, name) for name in _LABELS}
    if labels.clusters:
        arrays |= {"assignment": labels.clusters.assignment, "centroids": labels.clusters.centroids}
    return {name: torch.as_tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _weights(network: Network) -> str:
    return content_digest(network.state_dict())


def _labels(entry: Entry) -> PseudoLabels:
    clusters = None
    if "centroids" in entry.tensors:
        clusters = Clusters(entry.array("assignment"), entry.array("centroids"), entry.about["inertia"])
    arrays = {name: entry.array(name) for name in _LABELS}
    return PseudoLabels(**arrays, clusters=clusters)


def _fit(entry: Entry, config: ExperimentConfig, pool: Pool) -> Fit:
    network = networks.build(config.network, pool.images.shape[1], len(pool.classes), seed=0)
    network.load_state_dict(entry.tensors)
    about = entry.about | {"history": tuple(Epoch(**epoch) for epoch in entry.about["history"])}
    return Fit(to_device(network, config.device, config.precision), **about)


class _Kept:
    """The steps, with a look into the store before and a copy into it after."""

    def __init__(self, inner: Steps, store: Store) -> None:
        self.inner, self.store = inner, store

    def _fit(
        self,
        config: ExperimentConfig,
        pool: Pool,
        watch: Watch,
        name: str,
        inputs: dict[str, Any],
        compute: Callable[[], Fit],
    ) -> Fit:
        about: dict[str, Any] = {"pool": pool.digest, "classes": len(pool.classes), "network": config.network}
        about |= {"seed": config.seed, "augmentation": config.augmentation.model_dump()}
        at = key("fit", config, **about, **inputs)
        if entry := self.store.read("networks", at):
            watch.found(name)
            return _fit(entry, config, pool)
        done = compute()
        course = {n: getattr(done, n) for n in ("kept_epoch", "stop_reason", "images", "seconds")}
        course["history"] = [asdict(epoch) for epoch in done.history]
        self.store.write("networks", at, done.network.state_dict(), course)
        return done

    def pretrain(self, config: ExperimentConfig, pool: Pool, watch: Watch) -> Fit:
        inputs = {"task": "pretrain", "training": config.pretrain.model_dump()}
        return self._fit(config, pool, watch, "pretrain", inputs, lambda: self.inner.pretrain(config, pool, watch))

    def retrain(self, config: ExperimentConfig, pool: Pool, labels: PseudoLabels, watch: Watch, number: int) -> Fit:
        """The round is not in the key: with equal epochs each trains alike, so equal labels give an equal network."""
        training = retraining(config, number).model_dump(exclude={"last_round"})
        inputs = {"task": "retrain", "training": training, "labels": labels_digest(labels)}
        inputs |= config.pseudo_labels.model_dump(include={"labelled_share", "weighted"})
        name = f"retrain, round {number}"
        return self._fit(
            config, pool, watch, name, inputs, lambda: self.inner.retrain(config, pool, labels, watch, number)
        )

    def embed(
        self, config: ExperimentConfig, network: Network, images: Tensor, components: int
    ) -> tuple[np.ndarray, np.ndarray]:
        inputs = {"weights": _weights(network), "images": content_digest({"": images}), "components": components}
        at = key("embed", config, network=config.network, **inputs)
        entry = self.store.read("features", at)
        if entry is None:
            features, probabilities = embedding.embed(network, images, components=components)
            entry = Entry({"features": torch.as_tensor(features), "probabilities": torch.as_tensor(probabilities)}, {})
            self.store.write("features", at, entry.tensors, {})
        return entry.array("features"), entry.array("probabilities")

    def pretext(self, config: ExperimentConfig, pool: Pool, watch: Watch) -> np.ndarray:
        inputs = {"images": content_digest({"": pool.images}), "seed": config.seed, "of": "pool"}
        return _without_labels(self.store, config, inputs, watch, lambda: self.inner.pretext(config, pool, watch))

    def pseudo_label(
        self,
        config: ExperimentConfig,
        pool: Pool,
        fit: Fit,
        before: PseudoLabels | None,
        number: int,
        known: np.ndarray | None = None,
    ) -> Voted:
        about = {"pool": pool.digest, "network": config.network, "weights": _weights(fit.network), "seed": config.seed}
        about |= {"before": labels_digest(before), "number": number, "clustering": config.clustering.model_dump()}
        about["known"] = "" if known is None else content_digest({"": torch.as_tensor(known)})
        settings = config.pseudo_labels.model_dump(exclude={"rounds", "labelled_share", "weighted"})
        at = key("vote", config, **about, settings=settings, embed=code_version("embed"))
        embed = partial(self.embed, config)
        if entry := self.store.read("pseudo-labels", at):
            deep, probabilities = embed(fit.network, pool.images, components=config.clustering.maps)
            features = prepare(deep, config.clustering, cluster_seed(config, number)) if known is None else known
            return Voted(features, _labels(entry), entry.about["seconds"], probabilities)
        voted = self.inner.pseudo_label(config, pool, fit, before, number, known, embed=embed)
        inertia = voted.labels.clusters.inertia if voted.labels.clusters else None
        about = {"seconds": voted.seconds, "inertia": inertia}
        self.store.write("pseudo-labels", at, _label_tensors(voted.labels), about)
        return voted

    def evaluate(self, config: ExperimentConfig, network: Network) -> Evaluation:
        where = {"dataset": config.dataset, "protocol": config.protocol, "image_size": config.pool.image_size}
        where |= {"content": content(config.dataset)}
        at = key("evaluate", config, network=config.network, weights=_weights(network), **where)
        entry = self.store.read("evaluations", at)
        if entry is None:
            found = self.inner.evaluate(config, network)
            about = {name: value for name, value in asdict(found).items() if name != "confusion"}
            self.store.write("evaluations", at, {"confusion": torch.as_tensor(found.confusion)}, about)
            return found
        about = entry.about | {"class_accuracy": tuple(entry.about["class_accuracy"])}
        return Evaluation(confusion=entry.array("confusion"), **about)


def features_without_labels(store: Store, config: Learning, images: Tensor, seed: int, watch: Watch) -> np.ndarray:
    """Return what ``pretext.features`` gives, out of the store where it is there."""
    inputs = {"images": content_digest({"": images}), "seed": seed, "of": "images"}
    return _without_labels(store, config, inputs, watch, lambda: pretext.features(config, images, seed, watch))


def _without_labels(
    store: Store, config: Learning, inputs: dict[str, Any], watch: Watch, compute: Callable[[], np.ndarray]
) -> np.ndarray:
    about = {"network": config.network, "augmentation": config.augmentation.model_dump()}
    about |= {"pretext": config.pretext.model_dump(exclude={"up_to"})}
    about |= {"clustering": config.clustering.model_dump(include={"maps", "l2", "whiten"})}
    at = key("pretext", config, **about, **inputs)
    entry = store.read("features", at)
    if entry is None:
        entry = Entry({"features": torch.as_tensor(compute())}, {})
        store.write("features", at, entry.tensors, {})
    else:
        watch.found("without labels")
    return entry.array("features")


def kept(steps: Steps, store: Store) -> Steps:
    """Return the same steps, each of which looks into the store first and leaves its result there."""
    k = _Kept(steps, store)
    return replace(
        steps,
        pretrain=k.pretrain,
        pretext=k.pretext,
        pseudo_label=k.pseudo_label,
        retrain=k.retrain,
        evaluate=k.evaluate,
    )
