"""The first round with 100 labels and all images: the share of embedding, clustering and voting; K-means after it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.cluster import KMeans

from kmpl import embedding, steps
from kmpl.benchmarks.bench import Bench, Row, in_turn, ratios
from kmpl.benchmarks.ceilings import seconds
from kmpl.clustering import kmeans, prepare
from kmpl.config import ExperimentConfig
from kmpl.presets import merge
from kmpl.results import Fit, Pool, Voted
from kmpl.steps import Watch

_CLUSTERS, _DIMENSION = 200, 512  # of what is clustered


@dataclass(frozen=True)
class FirstRound:
    """A round of the method, and what came before it."""

    config: ExperimentConfig
    pool: Pool
    before: Fit
    voted: Voted
    after: Fit


@cache
def first_round(bench: Bench) -> FirstRound:
    """Return the round, run once for all that look at it."""
    change = {"protocol": "literature", "labels": 100, "ratio": None, "clustering": {"n_clusters": _CLUSTERS}}
    config = merge(bench.config, change)
    pool, _ = steps.load(config)
    before = steps.pretrain(config, pool, Watch())
    voted = steps.pseudo_label(config, pool, before, None, 1)
    return FirstRound(config, pool, before, voted, steps.retrain(config, pool, voted.labels, Watch(), 1))


def voting_share(bench: Bench) -> Row:
    """Embedding, clustering and voting, 60,000 images and 200 clusters: share of a round's time."""
    first = first_round(bench)
    took = first.voted.seconds | {"retrain": first.after.seconds}
    share = 100 * (1 - took["retrain"] / sum(took.values()))
    parts = {f"{name} (s)": (value,) for name, value in took.items()}
    name = f"embed, cluster, vote: share of a round, {len(first.pool.images):,} images"
    return Row(name, (share,), 15, 8, "%", more=False, parts=parts)


def kmeans_between_rounds(bench: Bench) -> Row:
    """K-means of a round's features from the last round's clusters, against scikit-learn's Lloyd from scratch."""
    first = first_round(bench)
    before, after = (_features(first, fit) for fit in (first.before, first.after))
    start = kmeans(before, _CLUSTERS, seed=0).assignment
    inertia: dict[str, float] = {}

    def ours() -> None:
        inertia["kmpl"] = kmeans(after, _CLUSTERS, seed=0, before=start).inertia

    def theirs() -> None:
        inertia["scikit-learn"] = KMeans(_CLUSTERS, n_init=1, random_state=0).fit(after).inertia_

    warm, cold = in_turn(bench.turns, lambda: seconds(ours), lambda: seconds(theirs))
    parts = {
        "kmpl, one thread (s)": warm,
        "scikit-learn, all threads (s)": cold,
        "inertia, kmpl / scikit-learn": (inertia["kmpl"] / inertia["scikit-learn"],),
    }
    name = f"K-means between rounds, {after.shape[0]:,} × {after.shape[1]}, {_CLUSTERS} clusters: time"
    return Row(name, ratios(warm, cold), 0.8, 0.4, more=False, parts=parts)


def _features(first: FirstRound, fit: Fit) -> np.ndarray:
    """Return features of 512 numbers each: the deep ones, and as many components of the maps as that takes."""
    components = _DIMENSION - fit.network.dimension
    deep, _ = embedding.embed(fit.network, first.pool.images, components=components)
    return prepare(deep, first.config.clustering, seed=0)
