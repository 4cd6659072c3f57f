"""The steps of the method, each a function of the settings and of what came before."""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from kmpl.config.experiment import ExperimentConfig, Retraining, Training
from kmpl.config.presets import for_arm
from kmpl.datasets.pool import build_pool, divide
from kmpl.datasets.types import Pool
from kmpl.errors import UserError, look_up
from kmpl.images.views import MIRRORING
from kmpl.method.kmeans import prepare
from kmpl.method.pseudo_labels import STRATEGIES, Evidence, assign
from kmpl.method.results import PseudoLabels, Voted
from kmpl.models import embedding
from kmpl.models import registry as networks
from kmpl.runtime.devices import pick_device, to_device
from kmpl.runtime.seeds import derive
from kmpl.training import examples, loop
from kmpl.training.examples import Examples
from kmpl.training.history import Fit
from kmpl.training.watch import Watch


def check(config: ExperimentConfig) -> None:
    """Refuse, before any work, what the pool is too small for and what does not exist.

    Raises:
        UserError: in one line.
    """
    look_up(networks.NETWORKS, config.network, "network")
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
        UserError: in one line.
    """
    look_up(STRATEGIES, config.pseudo_labels.strategy, "strategy")
    strategy, k = config.pseudo_labels.strategy, config.pseudo_labels.k
    clusters, prototypes = config.clustering.n_clusters, config.clustering.n_prototypes
    if strategy in ("cluster-graph", "consensus", "cluster-vote") and clusters > n_images:
        raise UserError(f"clustering.n_clusters {clusters}: the pool has {n_images} images; give 1 to {n_images}")
    if strategy == "prototype-knn" and prototypes > n_labelled:
        raise UserError(
            f"clustering.n_prototypes {prototypes}: {n_labelled} images are labelled; give 1 to {n_labelled}"
        )
    if strategy == "prototype-knn" and k > prototypes:
        raise UserError(f"pseudo_labels.k {k}: there are {prototypes} prototypes; give 1 to {prototypes}")


def _train(
    config: ExperimentConfig, pool: Pool, data: Examples, settings: Training, step: str, name: str, watch: Watch
) -> Fit:
    """Train a new network; ``step`` names its seeds, ``name`` is for people."""
    seed = derive(config.seed, step)
    network = networks.build(config.network, pool.images.shape[1], len(pool.classes), derive(seed, "weights"))
    return loop.fit(
        to_device(network, config.device, config.precision),
        data,
        settings,
        config.augmentation,
        seed,
        validation=(pool.validation_images, pool.validation_labels),
        on_epoch=partial(watch.epoch, name),
        on_batch=partial(watch.batch, name),
    )


def pretrain(config: ExperimentConfig, pool: Pool, watch: Watch) -> Fit:
    """Train a new network on the labelled images alone."""
    kept = pool.labelled
    given = examples.examples(pool.images[kept], pool.labels[kept], mirrored=_mirrored(pool)[kept])
    return _train(config, pool, given, config.pretrain, "pretrain", "pretrain", watch)


def _mirrored(pool: Pool) -> np.ndarray:
    """Return which of a pool's images (N,) are seen in a view that mirrors at random."""
    return np.isin(pool.views, MIRRORING)


Embed = Callable[..., tuple[np.ndarray, np.ndarray]]


def cluster_seed(config: ExperimentConfig, number: int) -> int:
    """Return the seed of a round's clustering."""
    return derive(config.seed, "cluster", number)


def pseudo_label(
    config: ExperimentConfig,
    pool: Pool,
    fit: Fit,
    before: PseudoLabels | None,
    number: int,
    known: np.ndarray | None = None,
    embed: Embed = embedding.embed,
) -> Voted:
    """Embed all pool images, cluster them and vote.

    Args:
        config: settings.
        pool: N images.
        fit: whose network embeds them.
        before: the last round's pseudo-labels; its clusters are where K-means starts.
        number: this round, from 1.
        known: (N, D) prepared features to cluster instead of the network's.
        embed: what embeds.
    """
    clock = [time.perf_counter()]
    deep, probabilities = embed(fit.network, pool.images, components=config.clustering.maps)
    clock.append(time.perf_counter())
    seed = cluster_seed(config, number)
    features = prepare(deep, config.clustering, seed) if known is None else known
    last = before.clusters if before else None
    evidence = Evidence(features, probabilities, pool.labels, config.clustering, config.pseudo_labels, seed, last)
    labels = assign(evidence, before, number)
    clock.append(time.perf_counter())
    seconds = {"embed": clock[1] - clock[0], "cluster and vote": clock[2] - clock[1]}
    return Voted(features, labels, seconds, probabilities)


def repeated(given: np.ndarray, kept: np.ndarray, share: float) -> np.ndarray:
    """Return the indices of all kept images, the given ones repeated until they are at least ``share`` of the whole.

    Args:
        given: (N,) bool, labelled.
        kept: (N,) bool, labelled or pseudo-labelled.
        share: in [0, 1).
    """
    assigned = np.flatnonzero(kept & ~given)
    times = max(1, math.ceil(share / (1 - share) * len(assigned) / given.sum()))
    return np.concatenate([np.tile(np.flatnonzero(given), times), assigned])


def retraining(config: ExperimentConfig, number: int) -> Retraining:
    """Return the settings of a round's retraining: more epochs in the last, and in the oracle's, round 0."""
    settings = config.retrain
    times = settings.last_round if number in (0, config.pseudo_labels.rounds) else 1
    return settings.model_copy(update={"epochs": times * settings.epochs})


def retrain(config: ExperimentConfig, pool: Pool, labels: PseudoLabels, watch: Watch, number: int) -> Fit:
    """Train a new network on all images that have a label, given or assigned."""
    kept, clusters = repeated(pool.labelled, labels.kept, config.pseudo_labels.labelled_share), labels.clusters
    weights = labels.confidence[kept] if config.pseudo_labels.weighted else None
    groups = clusters.assignment[kept] if clusters and config.retrain.clustering_target == "cluster" else None
    data = examples.examples(pool.images[kept], labels.classes[kept], weights, groups, _mirrored(pool)[kept])
    return _train(config, pool, data, retraining(config, number), "retrain", f"retrain, round {number}", watch)
