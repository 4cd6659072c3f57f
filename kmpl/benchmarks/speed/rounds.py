"""Speed of the rounds with 100 labels and all images: the share of clustering and voting, and K-means."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.cluster import KMeans

from kmpl.benchmarks.speed.ceilings import seconds
from kmpl.benchmarks.speed.timing import Bench, Row, alternate, ratios
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import merge
from kmpl.datasets.types import Pool
from kmpl.method import experiment, steps
from kmpl.method.kmeans import kmeans, prepare
from kmpl.method.results import Round
from kmpl.method.step_inputs import StepInput
from kmpl.method.step_interface import Steps, no_test_set
from kmpl.models import embedding
from kmpl.training.history import Fit

_N_CLUSTERS = 200
_DIMENSION = 512  # of the features that are clustered


@dataclass(frozen=True)
class Rounds:
    """The rounds of the method, and the training that they began with."""

    config: ExperimentConfig
    pool: Pool
    start: Fit
    rounds: tuple[Round, ...]


@cache
def all_rounds(bench: Bench) -> Rounds:
    """Return the rounds, run once for all measurements."""
    change = {"protocol": "literature", "labels": 100, "ratio": None, "clustering": {"n_clusters": _N_CLUSTERS}}
    config = merge(bench.config, change)
    pool, truth = steps.load(config)
    inputs = StepInput(config=config, pool=pool)
    start = steps.pretrain(inputs)
    plain = Steps(evaluate=no_test_set("the speed of rounds needs no test"))
    _, rounds, _ = experiment.run_rounds(inputs, truth=truth, start=start, steps=plain)
    return Rounds(config, pool, start, rounds)


def voting_share(bench: Bench) -> Row:
    """Embedding, clustering and voting, 60,000 images and 200 clusters: share of each round's time."""
    run = all_rounds(bench)
    times = [round_.seconds for round_ in run.rounds]
    shares = tuple(100 * (1 - seconds["retrain"] / sum(seconds.values())) for seconds in times)
    parts = {f"{name} (s)": tuple(seconds[name] for seconds in times) for name in times[0]}
    name = f"embed, cluster, vote: share of a round, {len(run.pool.images):,} images"
    return Row(name, shares, 15, 8, "%", more=False, parts=parts)


def kmeans_between_rounds(bench: Bench) -> Row:
    """K-means of a round's features from the last round's clusters, against scikit-learn's Lloyd from scratch."""
    run = all_rounds(bench)
    before, after = (_features(run, fit) for fit in (run.start, run.rounds[0].fit))
    start = kmeans(before, _N_CLUSTERS, seed=0).assignment
    inertia: dict[str, float] = {}

    def ours() -> None:
        inertia["kmpl"] = kmeans(after, _N_CLUSTERS, seed=0, previous=start).inertia

    def theirs() -> None:
        inertia["scikit-learn"] = KMeans(_N_CLUSTERS, n_init=1, random_state=0).fit(after).inertia_

    warm, cold = alternate(bench.repeats, lambda: seconds(ours), lambda: seconds(theirs))
    parts = {
        "kmpl, one thread (s)": warm,
        "scikit-learn, all threads (s)": cold,
        "inertia, kmpl / scikit-learn": (inertia["kmpl"] / inertia["scikit-learn"],),
    }
    name = f"K-means between rounds, {after.shape[0]:,} × {after.shape[1]}, {_N_CLUSTERS} clusters: time"
    return Row(name, ratios(warm, cold), 0.8, 0.4, more=False, parts=parts)


def _features(run: Rounds, fit: Fit) -> np.ndarray:
    """Return features of 512 dimensions: the deep features, filled up with components of the last convolution."""
    components = _DIMENSION - fit.network.dimension
    deep, _ = embedding.embed(fit.network, run.pool.images, components=components)
    return prepare(deep, run.config.clustering, seed=0)
