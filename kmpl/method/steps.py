"""The steps of the method, each a function of the settings and of what came before."""

import math
import time
from functools import partial

import numpy as np

from kmpl.config.experiment import ExperimentConfig, Retraining, Training
from kmpl.config.networks import NETWORKS
from kmpl.config.presets import for_arm
from kmpl.config.strategies import STRATEGIES
from kmpl.datasets.pool import build_pool, divide
from kmpl.datasets.types import Pool
from kmpl.errors import SettingError, look_up
from kmpl.images.views import VIEWS
from kmpl.method import frozen_steps
from kmpl.method.kmeans import prepare
from kmpl.method.pseudo_labels import Evidence, assign
from kmpl.method.results import Voted
from kmpl.method.step_inputs import RetrainInput, RoundInput, StepInput
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.runtime.devices import pick_device, to_device
from kmpl.runtime.seeds import derive
from kmpl.training import examples, loop
from kmpl.training.examples import Examples
from kmpl.training.history import Fit


def check(config: ExperimentConfig) -> None:
    """Refuse, before any work, what the pool is too small for and what does not exist.

    Raises:
        UserError: in one line.
    """
    look_up(NETWORKS, config.network, "network")
    pick_device(config.device)
    _, (labelled, _, unlabelled) = divide(config)
    n_labelled, n_images = (len(part) * config.pool.views_per_image for part in (labelled, [*labelled, *unlabelled]))
    for settings in (for_arm(config, arm) for arm in config.arms if arm not in ("labelled-only", "oracle")):
        check_voting(settings, n_images, n_labelled)


def load(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
    """Return the pool and, apart from it, the true labels of its images.

    Raises:
        UserError: as ``check``.
    """
    check(config)
    return build_pool(config)


def check_voting(config: ExperimentConfig, n_images: int, n_labelled: int) -> None:
    """Refuse a strategy that does not exist, and more clusters, prototypes or neighbours than there can be.

    Raises:
        UnknownNameError: there is no such strategy.
        SettingError: more than there can be.
    """
    needs = look_up(STRATEGIES, config.pseudo_labels.strategy, "strategy").needs
    k = config.pseudo_labels.k
    clusters = config.clustering.n_clusters
    prototypes = config.clustering.n_prototypes
    if needs == "clusters" and clusters > n_images:
        reason = f"the pool has {n_images} images"
        raise SettingError("clustering.n_clusters", clusters, reason, f"1 to {n_images}")
    if needs == "prototypes" and prototypes > n_labelled:
        reason = f"{n_labelled} images are labelled"
        raise SettingError("clustering.n_prototypes", prototypes, reason, f"1 to {n_labelled}")
    if needs == "prototypes" and k > prototypes:
        reason = f"there are {prototypes} prototypes"
        raise SettingError("pseudo_labels.k", k, reason, f"1 to {prototypes}")


def _train(inputs: StepInput, data: Examples, settings: Training, *, step: str, title: str) -> Fit:
    """Train a new network; ``step`` names its seeds, ``title`` is for people."""
    config = inputs.config
    pool = inputs.pool
    seed = derive(config.seed, step)
    network = networks.build(
        config.network, channels=pool.images.shape[1], n_classes=len(pool.classes), seed=derive(seed, "weights")
    )
    return loop.fit(
        to_device(network, config.device, config.precision),
        data,
        settings,
        augmentation=config.augmentation,
        seed=seed,
        validation=(pool.validation_images, pool.validation_labels),
        on_epoch=partial(inputs.watch.epoch, title),
        on_batch=partial(inputs.watch.batch, title),
    )


def pretrain(inputs: StepInput) -> Fit:
    """Train a new network on the labelled images alone."""
    pool = inputs.pool
    if pool.frozen:
        return frozen_steps.pretrain(inputs)
    labelled = pool.labelled
    weights = None if pool.certainty is None else pool.certainty[labelled]
    data = examples.examples(
        pool.images[labelled], pool.labels[labelled], weights=weights, mirrored=_mirrored(pool)[labelled]
    )
    return _train(inputs, data, inputs.config.pretrain, step="pretrain", title="pretrain")


def _mirrored(pool: Pool) -> np.ndarray:
    """Return which of a pool's images (N,) are seen in a view that mirrors at random."""
    return np.isin(pool.views, [name for name, view in VIEWS.items() if view.mirrors])


def cluster_seed(config: ExperimentConfig, number: int) -> int:
    """Return the seed of a round's clustering."""
    return derive(config.seed, "cluster", number)


def pseudo_label(inputs: RoundInput) -> Voted:
    """Embed all pool images, cluster them and vote."""
    config = inputs.config
    pool = inputs.pool
    if pool.frozen:
        return frozen_steps.pseudo_label(inputs, cluster_seed(config, inputs.number))
    begin = time.perf_counter()
    embed = inputs.embed or embedding.embed
    deep, probabilities = embed(inputs.fit.network, pool.images, components=config.clustering.maps)
    embedded = time.perf_counter()
    seed = cluster_seed(config, inputs.number)
    features = prepare(deep, config.clustering, seed) if inputs.features is None else inputs.features
    evidence = Evidence(
        features=features,
        probabilities=probabilities,
        labels=pool.labels,
        clustering=config.clustering,
        settings=config.pseudo_labels,
        seed=seed,
        previous=inputs.previous.clusters if inputs.previous else None,
        certainty=pool.certainty,
    )
    labels = assign(evidence, inputs.previous, inputs.number)
    voted = time.perf_counter()
    seconds = {"embed": embedded - begin, "cluster and vote": voted - embedded}
    return Voted(features=features, labels=labels, seconds=seconds, probabilities=probabilities)


def repeated(labelled: np.ndarray, kept: np.ndarray, share: float) -> np.ndarray:
    """Return the indices of all kept images, the labelled ones repeated until they are at least ``share`` of the whole.

    Args:
        labelled: (N,) bool, labelled.
        kept: (N,) bool, labelled or pseudo-labelled.
        share: in [0, 1).
    """
    assigned = np.flatnonzero(kept & ~labelled)
    times = max(1, math.ceil(share / (1 - share) * len(assigned) / labelled.sum()))
    return np.concatenate([np.tile(np.flatnonzero(labelled), times), assigned])


def retraining(config: ExperimentConfig, number: int) -> Retraining:
    """Return the settings of a round's retraining: more epochs in the last, and in the oracle's, round 0."""
    settings = config.retrain
    times = settings.last_round if number in (0, config.pseudo_labels.rounds) else 1
    return settings.model_copy(update={"epochs": times * settings.epochs})


def retrain(inputs: RetrainInput) -> Fit:
    """Train a new network on all images that have a label, given or assigned."""
    config = inputs.config
    pool = inputs.pool
    if pool.frozen:
        return frozen_steps.retrain(inputs)
    labels = inputs.labels
    kept = repeated(pool.labelled, labels.kept, config.pseudo_labels.labelled_share)
    weights = labels.confidence[kept] if config.pseudo_labels.weighted else None
    clusters = labels.clusters if config.retrain.clustering_target == "cluster" else None
    groups = clusters.assignment[kept] if clusters else None
    data = examples.examples(
        pool.images[kept], labels.classes[kept], weights=weights, groups=groups, mirrored=_mirrored(pool)[kept]
    )
    settings = retraining(config, inputs.number)
    return _train(inputs, data, settings, step="retrain", title=f"retrain, round {inputs.number}")
