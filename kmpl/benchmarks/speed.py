"""How fast kmpl is: each thing beside what it is compared with, in turn, in one run."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.cluster import KMeans
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from kmpl import experiment, networks, steps, training
from kmpl.benchmarks import reference
from kmpl.benchmarks.ceilings import CEILINGS, convolution, seconds
from kmpl.benchmarks.profile import by_operation
from kmpl.clustering import kmeans, prepare
from kmpl.config import ExperimentConfig, Training
from kmpl.datasets.named import read
from kmpl.devices import pick_device, place, use_threads
from kmpl.evaluation import evaluate
from kmpl.model_files import Description, write_model
from kmpl.networks import Network
from kmpl.presets import PRESETS, load, merge
from kmpl.results import Fit, Images, Pool, Voted
from kmpl.steps import Watch
from kmpl.training import Examples

_BRIEF = 16  # steps of a training that is timed
_JOB = {"protocol": "notebook", "ratio": 0.1, "pool": {"size": 30_000}}
_CLUSTERS, _DIMENSION = 200, 512  # of what is clustered


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    values: tuple[float, ...]
    """The ratio or share, of each turn."""
    must: float
    aim: float
    unit: str = "×"
    more: bool = True
    """More is better."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What was measured, in the units that its names say."""

    @property
    def median(self) -> float:
        """Of the values."""
        return statistics.median(self.values)

    def reaches(self, goal: float) -> bool:
        """Say whether the median is as good as a goal."""
        return self.median >= goal if self.more else self.median <= goal


@dataclass(frozen=True)
class Bench:
    """What is measured with."""

    config: ExperimentConfig
    data: Images
    turns: int

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return pick_device(self.config.device)

    @cached_property
    def job(self) -> "NotebooksJob":
        """What the notebook's way takes, measured once for all that is compared with it."""
        return _notebooks_job(self)

    @cached_property
    def round(self) -> "FirstRound":
        """The first round with 100 labels and all images, run once for all that look at it."""
        change = {"protocol": "literature", "labels": 100, "ratio": None, "clustering": {"n_clusters": _CLUSTERS}}
        config = merge(self.config, change)
        pool, _ = steps.load(config)
        before = steps.pretrain(config, pool, Watch())
        voted = steps.pseudo_label(config, pool, before, None, 1)
        return FirstRound(config, pool, before, voted, steps.retrain(config, pool, voted.labels, Watch(), 1))


@dataclass(frozen=True)
class FirstRound:
    """A round of the method, and what came before it."""

    config: ExperimentConfig
    pool: Pool
    before: Fit
    voted: Voted
    after: Fit


def in_turn(turns: int, *work: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Return what each piece of work measures, A B A B …, after one turn that does not count."""
    for one in work:
        one()
    rounds = [[one() for one in work] for _ in range(turns)]
    return tuple(zip(*rounds, strict=True))


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each turn."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def _rate(work: Callable[[], int]) -> float:
    """Return images per second of what returns how many images it took."""
    begin = time.perf_counter()
    seen = work()
    return seen / (time.perf_counter() - begin)


@dataclass(frozen=True)
class NotebooksJob:
    """The notebook's job at ratio 0.1, by its cost per image: the whole would take most of an hour."""

    parts: Mapping[str, tuple[float, ...]]
    seconds: tuple[float, ...]
    """Of the whole job, computed from the parts, for each turn."""


def _notebooks_job(bench: Bench) -> NotebooksJob:
    network = _plain(bench, "vgg16")
    trained, predicted = in_turn(
        bench.turns,
        lambda: _rate(lambda: reference.train(network, bench.data, _BRIEF // 2)),
        lambda: _rate(lambda: reference.predict(network, bench.data, _BRIEF)),
    )
    pool, truth = steps.load(merge(bench.config, _JOB))
    features, _ = training.embed(network, pool.images)
    budget = round(0.1 * len(features))
    clustered = seconds(partial(reference.pseudo_label, features[:budget], truth[:budget], features[budget:]))
    to_train, to_predict = reference.images_of_the_job(len(features), budget, 20_000)
    whole = tuple(to_train / t + to_predict / p + clustered for t, p in zip(trained, predicted, strict=True))
    parts = {
        "the notebook's way, training (images/s)": trained,
        "the notebook's way, predicting (images/s)": predicted,
        "the notebook's way, pseudo-labels (s)": (clustered,),
        "the notebook's way, whole job computed from these (s)": whole,
    }
    return NotebooksJob(parts, whole)


def whole_job(bench: Bench) -> Row:
    """The notebook's job at ratio 0.1, by its cost per image, against kmpl's of preset quick, run once and whole."""
    return _against_the_job(bench, merge(merge(bench.config, PRESETS["quick"]), _JOB), "preset quick")


def whole_job_by_default(bench: Bench) -> Row:
    """The same against kmpl's defaults: three rounds instead of the notebook's one, and longer training."""
    return _against_the_job(bench, merge(bench.config, _JOB), "defaults")


def _against_the_job(bench: Bench, config: ExperimentConfig, named: str) -> Row:
    begin = time.perf_counter()
    arms = experiment.run(config, experiment.Steps(evaluate=evaluate)).arms
    ours = time.perf_counter() - begin
    found = tuple(100 * arm.evaluation.accuracy for arm in arms.values())
    parts = {"kmpl, whole job (s)": (ours,), f"kmpl, accuracy, {' and '.join(arms)} (%)": found}
    name = f"notebook protocol, ratio 0.1, whole job, {named}"
    return Row(name, ratios(bench.job.seconds, [ours] * bench.turns), 25, 60, parts={**bench.job.parts, **parts})


def vgg16_training(bench: Bench) -> Row:
    """The same VGG16, batch size and optimiser: the notebook's loop against kmpl's."""
    theirs = _plain(bench, "vgg16")
    config = load("notebook", None, {"protocol": "notebook", "pool": {"size": 1_000}, "ratio": 0.5, "threads": 0})
    pool, truth = steps.load(config)
    n = _BRIEF // 2 * reference.BATCH
    brief = config.pretrain.model_copy(update={"epochs": 1, "images_per_epoch": n})
    fresh = _network(bench, "vgg16")
    ours, base = in_turn(
        bench.turns,
        lambda: n / _fit(fresh, training.examples(pool.images, truth), brief, config),
        lambda: _rate(lambda: reference.train(theirs, bench.data, _BRIEF // 2)),
    )
    parts = {"kmpl (images/s)": ours, "the notebook's way (images/s)": base}
    return Row("VGG16, images per second in training", ratios(ours, base), 1.4, 1.8, parts=parts)


def step_against_ceiling(bench: Bench) -> Row:
    """A training step of the standard network: share of what convolutions can do at best on this machine."""
    network = _network(bench, bench.config.network).train()
    step, size = _bare_step(bench, network)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    flops = counter.get_total_flops()
    ours, best = in_turn(
        3 * bench.turns,
        lambda: _BRIEF * flops / seconds(lambda: [step() for _ in range(_BRIEF)]) / 1e9,
        lambda: convolution(bench.device),
    )
    shares = tuple(100 * share for share in ratios(ours, best))
    parts = {"step (GFLOP/s)": ours, "convolution (GFLOP/s)": best, "a step (GFLOP)": (flops / 1e9,)}
    return Row(f"training step of {bench.config.network}, batch {size}", shares, 45, 65, "%", parts=parts)


def loop_against_step(bench: Bench) -> Row:
    """The training loop, with batches, augmentation and running average, against the bare step on one fixed batch."""
    config = bench.config
    network, other = _network(bench, config.network), _network(bench, config.network).train()
    step, size = _bare_step(bench, other)
    n = 4 * _BRIEF
    brief = config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": n * size})
    data = training.examples(bench.data.images[:10_000], bench.data.labels[:10_000].numpy())
    ours, bare = in_turn(
        bench.turns,
        lambda: _fit(network, data, brief, config),
        lambda: seconds(lambda: [step() for _ in range(n)]),
    )
    parts = {"loop (s)": ours, "bare steps (s)": bare}
    return Row("training loop / bare steps on one batch", ratios(ours, bare), 1.10, 1.05, more=False, parts=parts)


def voting_share(bench: Bench) -> Row:
    """Embedding, clustering and voting, 60,000 images and 200 clusters: share of a round's time."""
    took = bench.round.voted.seconds | {"retrain": bench.round.after.seconds}
    share = 100 * (1 - took["retrain"] / sum(took.values()))
    parts = {f"{name} (s)": (value,) for name, value in took.items()}
    name = f"embed, cluster, vote: share of a round, {len(bench.round.pool.images):,} images"
    return Row(name, (share,), 15, 8, "%", more=False, parts=parts)


def kmeans_between_rounds(bench: Bench) -> Row:
    """K-means of a round's features from the last round's clusters, against scikit-learn's Lloyd from scratch."""
    first = bench.round
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
    deep, _ = training.embed(fit.network, first.pool.images, components=components)
    return prepare(deep, first.config.clustering, seed=0)


def help_time(bench: Bench) -> Row:
    """``kmpl --help``, in a process of its own."""
    command = [sys.executable, "-m", "kmpl.cli", "--help"]
    (times,) = in_turn(
        2 * bench.turns, lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    )
    return Row("kmpl --help", times, 0.5, 0.25, "s", more=False)


_FIRST = """
import sys
from pathlib import Path
from kmpl.model_files import read_model
model = read_model(Path(sys.argv[1])).classifier
print(model.classify(model.read(Path(sys.argv[2]))[None]))
"""


def first_prediction(bench: Bench) -> Row:
    """Import, read a model's file and a picture's, say what it shows, in a process of its own."""
    network = _network(bench, bench.config.network)
    channels, height, width = bench.data.images.shape[1:]
    about = Description(
        network=bench.config.network, classes=bench.data.classes, raw_shape=(channels, height, width), size=0
    )
    with tempfile.TemporaryDirectory() as folder:
        model, picture = Path(folder, "model.safetensors"), Path(folder, "picture.png")
        write_model(network, about, model)
        Image.fromarray(bench.data.images[0].permute(1, 2, 0).squeeze(2).numpy()).save(picture)
        command = [sys.executable, "-c", _FIRST, str(model), str(picture)]
        (times,) = in_turn(
            2 * bench.turns, lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))
        )
    return Row("from nothing to the first prediction", times, 3, 2, "s", more=False)


ROWS: tuple[Callable[[Bench], Row], ...] = (
    whole_job,
    whole_job_by_default,
    vgg16_training,
    step_against_ceiling,
    loop_against_step,
    voting_share,
    kmeans_between_rounds,
    help_time,
    first_prediction,
)


def _network(bench: Bench, name: str) -> Network:
    """Return a network as kmpl trains it."""
    network = networks.build(name, 1, len(bench.data.classes), seed=0)
    return place(network, bench.config.device, bench.config.precision)


def _plain(bench: Bench, name: str) -> Network:
    """Return a network as PyTorch makes it: float32, its default memory layout."""
    network = networks.build(name, 1, len(bench.data.classes), seed=0)
    return network.to(bench.device).to(memory_format=torch.contiguous_format)


def _fit(network: Network, data: Examples, settings: Training, config: ExperimentConfig) -> float:
    nobody = data.images[:0], data.labels[:0].numpy()
    return training.fit(network, data, settings, config.augmentation, 0, nobody).seconds


def _bare_step(bench: Bench, network: Network) -> tuple[Callable[[], None], int]:
    """Return forward, backward and step on one fixed batch, and its size."""
    settings = bench.config.retrain
    optimizer = training.optimizer(network, settings)
    images = bench.data.images[: settings.batch_size].to(bench.device).float().div(255)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = bench.data.labels[: settings.batch_size].to(bench.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step, settings.batch_size


@dataclass(frozen=True)
class Speed:
    """All that is measured."""

    rows: list[Row]
    ceilings: Mapping[str, Row]
    """What the machine can do at best."""
    profile: Mapping[str, float]
    """Share of each operation in a retraining's time."""


def measure(config: ExperimentConfig, turns: int, told: Callable[[str], None]) -> Speed:
    """Measure the ceilings, all rows, and where the time of training goes."""
    use_threads(config.threads)
    bench = Bench(config, read(config.dataset, train=True), turns)
    told("ceilings of the machine")
    works = [partial(work, bench.device) for work, _ in CEILINGS.values()]
    best = in_turn(turns, *works)
    ceilings = {
        name: Row(name, values, 0, 0, unit) for (name, (_, unit)), values in zip(CEILINGS.items(), best, strict=True)
    }
    rows = []
    for row in ROWS:
        told((row.__doc__ or "").splitlines()[0])
        rows.append(row(bench))
    told("where the time of training goes")
    return Speed(rows, ceilings, by_operation(config, bench.data))
