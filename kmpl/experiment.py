"""The method: pretrain, then rounds of embed → cluster → vote → retrain, then the test, once.

This is the only place where the order of steps is written. The steps are handed in, so that an engine may wrap them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kmpl import metrics, networks, training
from kmpl.clustering import prepare
from kmpl.config import ExperimentConfig
from kmpl.datasets.pool import build_pool
from kmpl.errors import UserError, look_up
from kmpl.networks import Network
from kmpl.pseudo_labels import STRATEGIES, Evidence, assign
from kmpl.results import ArmReport, Epoch, Evaluation, Fit, Pool, PseudoLabels, Report, Round
from kmpl.seeds import derive
from kmpl.training import Examples


def _silent(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watch:
    """Who is told how training goes; the first argument is the step's name."""

    epoch: Callable[[str, Epoch, int], None] = _silent
    """What an epoch gave, and the number of epochs in all."""
    batch: Callable[[str, float, int], None] = _silent
    """How many epochs are done, as a fraction, and the number of epochs in all."""


@dataclass(frozen=True)
class Voted:
    """What embed → cluster → vote gives."""

    features: np.ndarray
    labels: PseudoLabels
    seconds: dict[str, float]


def load(config: ExperimentConfig) -> tuple[Pool, np.ndarray]:
    """Return the pool and, apart from it, the true labels of its images; refuse what the pool is too small for."""
    look_up(networks.NETWORKS, config.network, "network")
    training.pick_device(config.device)
    pool, truth = build_pool(config)
    n_labelled = int(pool.labelled.sum())
    for settings in (config.for_arm(arm) for arm in config.arms if arm not in ("labelled-only", "oracle")):
        look_up(STRATEGIES, settings.pseudo_labels.strategy, "strategy")
        _check_clusters(settings, len(pool.labels), n_labelled)
    return pool, truth


def _check_clusters(config: ExperimentConfig, n_images: int, n_labelled: int) -> None:
    strategy, k = config.pseudo_labels.strategy, config.pseudo_labels.k
    clusters, prototypes = config.clustering.n_clusters, config.clustering.n_prototypes
    if strategy in ("consensus", "cluster-vote") and clusters > n_images:
        raise UserError(f"clustering.n_clusters {clusters}: the pool has {n_images} images; give 1 to {n_images}")
    if strategy == "prototype-knn" and prototypes > n_labelled:
        raise UserError(
            f"clustering.n_prototypes {prototypes}: {n_labelled} images are labelled; give 1 to {n_labelled}"
        )
    if strategy == "prototype-knn" and k > prototypes:
        raise UserError(f"pseudo_labels.k {k}: there are {prototypes} prototypes; give 1 to {prototypes}")


def _train(config: ExperimentConfig, pool: Pool, data: Examples, step: str, name: str, watch: Watch) -> Fit:
    """Train a new network; ``step`` names its settings and seeds, ``name`` is for people."""
    seed = derive(config.seed, step)
    network = networks.build(config.network, pool.images.shape[1], len(pool.classes), derive(seed, "weights"))
    return training.fit(
        network.to(training.pick_device(config.device)),
        data,
        getattr(config, step),
        config.augmentation,
        seed,
        validation=(pool.validation_images, pool.validation_labels),
        on_epoch=partial(watch.epoch, name),
        on_batch=partial(watch.batch, name),
    )


def pretrain(config: ExperimentConfig, pool: Pool, watch: Watch) -> Fit:
    """Train a new network on the labelled images alone."""
    given = training.examples(pool.images[pool.labelled], pool.labels[pool.labelled])
    return _train(config, pool, given, "pretrain", "pretrain", watch)


def pseudo_label(config: ExperimentConfig, pool: Pool, fit: Fit, before: PseudoLabels | None, number: int) -> Voted:
    """Embed all pool images, cluster them and vote."""
    clock = [time.perf_counter()]
    deep, probabilities = training.embed(fit.network, pool.images)
    clock.append(time.perf_counter())
    seed = derive(config.seed, "cluster", number)
    features = prepare(deep, config.clustering, seed)
    evidence = Evidence(features, probabilities, pool.labels, config.clustering, config.pseudo_labels, seed)
    labels = assign(evidence, before, number)
    clock.append(time.perf_counter())
    return Voted(features, labels, {"embed": clock[1] - clock[0], "cluster and vote": clock[2] - clock[1]})


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


def retrain(config: ExperimentConfig, pool: Pool, labels: PseudoLabels, watch: Watch, number: int) -> Fit:
    """Train a new network on all images that have a label, given or assigned."""
    kept, clusters = repeated(pool.labelled, labels.kept, config.pseudo_labels.labelled_share), labels.clusters
    weights = labels.confidence[kept] if config.pseudo_labels.weighted else None
    groups = clusters.assignment[kept] if clusters and config.retrain.clustering_target == "cluster" else None
    data = training.examples(pool.images[kept], labels.classes[kept], weights, groups)
    return _train(config, pool, data, "retrain", f"retrain, round {number}", watch)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps as functions. ``evaluate`` has no default: who may open the test set hands it in."""

    evaluate: Callable[[ExperimentConfig, Network], Evaluation]
    load: Callable[[ExperimentConfig], tuple[Pool, np.ndarray]] = load
    pretrain: Callable[[ExperimentConfig, Pool, Watch], Fit] = pretrain
    pseudo_label: Callable[[ExperimentConfig, Pool, Fit, PseudoLabels | None, int], Voted] = pseudo_label
    retrain: Callable[[ExperimentConfig, Pool, PseudoLabels, Watch, int], Fit] = retrain
    watch: Watch = Watch()
    begun: Callable[[Pool], None] = _silent
    finished: Callable[[ArmReport], None] = _silent


def run(config: ExperimentConfig, steps: Steps) -> Report:
    """Return the report of all arms on the same pool, the same pretrained network and the same draws."""
    training.use_threads(config.threads)
    pool, truth = steps.load(config)
    steps.begun(pool)
    pretrained = steps.pretrain(config, pool, steps.watch)
    arms: dict[str, ArmReport] = {}
    for arm in config.arms:
        arms[arm] = run_arm(arm, config.for_arm(arm), pool, truth, pretrained, steps)
        steps.finished(arms[arm])
    return Report(pool, arms)


def run_arm(arm: str, config: ExperimentConfig, pool: Pool, truth: np.ndarray, start: Fit, steps: Steps) -> ArmReport:
    """Return one arm's report; the test set is opened at the very end, once."""
    fit, stopped = start, "no rounds by definition"
    rounds: tuple[Round, ...] = ()
    if arm == "oracle":
        fit = steps.retrain(config, pool, all_right(truth, pool), steps.watch, 0)
    elif arm != "labelled-only":
        fit, rounds, stopped = run_rounds(config, pool, truth, start, steps)
    evaluation = steps.evaluate(config, fit.network)
    return ArmReport(arm, None if arm == "oracle" else start, rounds, fit, evaluation, stopped)


def run_rounds(
    config: ExperimentConfig, pool: Pool, truth: np.ndarray, start: Fit, steps: Steps
) -> tuple[Fit, tuple[Round, ...], str]:
    """Return the last network, the rounds that led to it and why there was no further one."""
    fit, before = start, None
    rounds: list[Round] = []
    for number in range(1, config.pseudo_labels.rounds + 1):
        voted = steps.pseudo_label(config, pool, fit, before, number)
        if not voted.labels.assigned:
            return fit, tuple(rounds), f"round {number}: no pseudo-label reached the threshold"
        if before is not None and np.array_equal(voted.labels.classes, before.classes):
            return fit, tuple(rounds), f"round {number}: no pseudo-label changed"
        fit = steps.retrain(config, pool, voted.labels, steps.watch, number)
        shown = metrics.diagnose(voted.labels, pool.labelled, truth, len(pool.classes))
        seconds = voted.seconds | {"retrain": fit.seconds}
        rounds.append(Round(number, voted.features, voted.labels, fit, shown, seconds))
        before = voted.labels
    return fit, tuple(rounds), "all rounds done"


def all_right(truth: np.ndarray, pool: Pool) -> PseudoLabels:
    """Return the true labels as if they had been assigned: the oracle's ceiling."""
    return PseudoLabels(truth, truth, np.ones(len(truth)), np.where(pool.labelled, 0, 1))
