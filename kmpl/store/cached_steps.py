"""The steps of the experiment, each computed once: its result is kept under the digest of all that determines it.

A step whose key is in the store is not computed again, whoever asks; so a killed experiment goes on where it was, and a
changed ``n_clusters`` costs no pretraining. Networks and labels enter a key by their content, not by their history.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kmpl.config.experiment import Learning
from kmpl.method import pretext
from kmpl.method.step_inputs import Embed, RoundInput, StepInput
from kmpl.method.step_interface import Steps, wrap_each
from kmpl.models import embedding
from kmpl.models.network import Network
from kmpl.store.fingerprints import key
from kmpl.store.kept_results import CACHED, WITHOUT_LABELS, Cached, pretext_inputs, weights_digest
from kmpl.store.store import Entry, Store, content_digest
from kmpl.training.watch import Watch


def cached(steps: Steps, store: Store) -> Steps:
    """Return the same steps, each of which looks into the store first and leaves its result there."""

    def around(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        how = CACHED.get(name)
        return step if how is None else lambda inputs: _look_up(how, step, _embedding_once(inputs, store), store=store)

    return wrap_each(steps, around)


def _look_up(how: Cached, step: Callable[[Any], Any], inputs: Any, *, store: Store) -> Any:
    if isinstance(inputs, StepInput) and inputs.pool.frozen:
        return step(inputs)  # a classifier on frozen features is fitted faster than its result is read
    at = key(how.code, inputs.config, **how.key_inputs(inputs))
    entry = store.read(how.kind, at)
    if entry is not None:
        if how.title is not None:
            inputs.watch.found(how.title(inputs))
        return how.unpack(entry, inputs)
    result = step(inputs)
    kept = how.pack(result)
    store.write(how.kind, at, kept.tensors, about=kept.about)
    return result


def _embedding_once(inputs: Any, store: Store) -> Any:
    """Return what a step is given; a round embeds by the store: other clusters of the same features cost no pass."""
    return replace(inputs, embed=_stored_embed(inputs.config, store)) if isinstance(inputs, RoundInput) else inputs


def _stored_embed(config: Learning, store: Store) -> Embed:
    def embed(network: Network, images: Tensor, *, components: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = {"weights": weights_digest(network), "images": content_digest({"": images}), "components": components}
        at = key("embed", config, network=config.network, **inputs)
        entry = store.read("features", at)
        if entry is None:
            features, probabilities = embedding.embed(network, images, components=components)
            entry = Entry(
                tensors={"features": torch.as_tensor(features), "probabilities": torch.as_tensor(probabilities)},
                about={},
            )
            store.write("features", at, entry.tensors, about={})
        return entry.array("features"), entry.array("probabilities")

    return embed


def features_without_labels(store: Store, config: Learning, images: Tensor, *, seed: int, watch: Watch) -> np.ndarray:
    """Return what ``pretext.features`` gives, out of the store where it is there."""
    inputs = pretext_inputs(config, images) | {"seed": seed, "of": "images"}
    at = key("pretext", config, **inputs)
    entry = store.read("features", at)
    if entry is not None:
        watch.found(WITHOUT_LABELS)
        return entry.array("features")
    features = pretext.features(config, images, seed=seed, watch=watch)
    store.write("features", at, {"features": torch.as_tensor(features)}, about={})
    return features
