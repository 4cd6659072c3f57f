"""Benchmark of speed: each row compares kmpl with another way or with the machine's limits, in one run."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from kmpl.benchmarks.speed import busy, notebook_way
from kmpl.benchmarks.speed.ceilings import CEILINGS, convolution, seconds
from kmpl.benchmarks.speed.profile import by_operation
from kmpl.benchmarks.speed.rounds import kmeans_between_rounds, voting_share
from kmpl.benchmarks.speed.timing import Bench, Row, alternate, default_network, network, rate, ratios
from kmpl.benchmarks.speed.whole_job import whole_job, whole_job_by_default
from kmpl.config.experiment import ExperimentConfig, Training
from kmpl.config.presets import load
from kmpl.datasets.registry import read
from kmpl.method import steps
from kmpl.models.model_file import Description, write_model
from kmpl.models.network import Network
from kmpl.runtime.devices import use_threads
from kmpl.training import examples, loop
from kmpl.training.examples import Examples

_TIMED_STEPS = 16  # of a training


def vgg16_training(bench: Bench) -> Row:
    """The same VGG16, batch size and optimiser: the notebook's loop against kmpl's."""
    theirs = default_network(bench, "vgg16")
    config = load("notebook", None, {"protocol": "notebook", "pool": {"size": 1_000}, "ratio": 0.5, "threads": 0})
    pool, truth = steps.load(config)
    n = _TIMED_STEPS // 2 * notebook_way.BATCH
    brief = config.pretrain.model_copy(update={"epochs": 1, "images_per_epoch": n})
    fresh = network(bench, "vgg16")
    ours, base = alternate(
        bench.repeats,
        lambda: n / _fit(fresh, examples.examples(pool.images, truth), brief, config),
        lambda: rate(lambda: notebook_way.train(theirs, bench.data, _TIMED_STEPS // 2)),
    )
    parts = {"kmpl (images/s)": ours, "the notebook's way (images/s)": base}
    return Row("VGG16, images per second in training", ratios(ours, base), 1.4, 1.8, parts=parts)


def step_against_ceiling(bench: Bench) -> Row:
    """A training step of the standard network: share of the speed of a plain convolution on this machine."""
    fresh = network(bench, bench.config.network).train()
    step, size = _bare_step(bench, fresh)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    flops = counter.get_total_flops()
    ours, best = alternate(
        3 * bench.repeats,
        lambda: _TIMED_STEPS * flops / seconds(lambda: [step() for _ in range(_TIMED_STEPS)]) / 1e9,
        lambda: convolution(bench.device),
    )
    shares = tuple(100 * share for share in ratios(ours, best))
    parts = {"step (GFLOP/s)": ours, "convolution (GFLOP/s)": best, "a step (GFLOP)": (flops / 1e9,)}
    return Row(f"training step of {bench.config.network}, batch {size}", shares, 45, 65, "%", parts=parts)


def loop_against_step(bench: Bench) -> Row:
    """The training loop, with batches, augmentation and running average, against the bare step on one fixed batch."""
    config = bench.config
    looped = network(bench, config.network)
    step, size = _bare_step(bench, network(bench, config.network).train())
    n = 4 * _TIMED_STEPS
    brief = config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": n * size})
    data = examples.examples(bench.data.images[:10_000], bench.data.labels[:10_000].numpy())
    ours, bare = alternate(
        bench.repeats,
        lambda: _fit(looped, data, brief, config),
        lambda: seconds(lambda: [step() for _ in range(n)]),
    )
    parts = {"loop (s)": ours, "bare steps (s)": bare}
    return Row("training loop / bare steps on one batch", ratios(ours, bare), 1.10, 1.05, more=False, parts=parts)


def help_time(bench: Bench) -> Row:
    """``kmpl --help``, in a process of its own."""
    command = [sys.executable, "-m", "kmpl.cli", "--help"]
    (times,) = alternate(
        2 * bench.repeats, lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    )
    return Row("kmpl --help", times, 0.5, 0.25, "s", more=False)


_PREDICT_ONCE = """
import sys
from pathlib import Path
from kmpl.models.model_file import read_model
model = read_model(Path(sys.argv[1])).classifier
print(model.classify(model.read(Path(sys.argv[2]))[None]))
"""


def first_prediction(bench: Bench) -> Row:
    """Import kmpl, read a model file and an image file, and classify the image, in a process of its own."""
    fresh = network(bench, bench.config.network)
    channels, height, width = bench.data.images.shape[1:]
    description = Description(
        network=bench.config.network, classes=bench.data.classes, raw_shape=(channels, height, width), size=0
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.safetensors")
        picture = Path(folder, "picture.png")
        write_model(fresh, description, model)
        Image.fromarray(bench.data.images[0].permute(1, 2, 0).squeeze(2).numpy()).save(picture)
        command = [sys.executable, "-c", _PREDICT_ONCE, str(model), str(picture)]
        (times,) = alternate(
            2 * bench.repeats, lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True))
        )
    return Row("from nothing to the first prediction", times, 3, 2, "s", more=False)


ROWS: tuple[Callable[[Bench], Row], ...] = (
    whole_job,
    whole_job_by_default,
    vgg16_training,
    step_against_ceiling,
    loop_against_step,
    busy.quiet,
    busy.beside_one,
    busy.beside_two,
    voting_share,
    kmeans_between_rounds,
    help_time,
    first_prediction,
)


def _fit(network: Network, data: Examples, settings: Training, config: ExperimentConfig) -> float:
    no_validation = data.images[:0], data.labels[:0].numpy()
    return loop.fit(network, data, settings, augmentation=config.augmentation, seed=0, validation=no_validation).seconds


def _bare_step(bench: Bench, network: Network) -> tuple[Callable[[], None], int]:
    """Return a function that does one training step on one fixed batch, and the size of the batch."""
    settings = bench.config.retrain
    optimizer = loop.optimizer(network, settings)
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
    """All measurements of the benchmark."""

    rows: list[Row]
    ceilings: Mapping[str, Row]
    """The limits of the machine."""
    profile: Mapping[str, float]
    """Share of each operation in the time of a retraining."""


def measure(config: ExperimentConfig, repeats: int, on_progress: Callable[[str], None]) -> Speed:
    """Measure the ceilings, all rows, and the profile of training.

    Args:
        config: network and settings.
        repeats: of each comparison.
        on_progress: receives a line before each measurement.
    """
    use_threads(config.threads)
    bench = Bench(config, read(config.dataset, train=True), repeats)
    on_progress("ceilings of the machine")
    measurements = [partial(work, bench.device) for work, _ in CEILINGS.values()]
    limits = alternate(repeats, *measurements)
    ceilings = {
        name: Row(name, values, 0, 0, unit) for (name, (_, unit)), values in zip(CEILINGS.items(), limits, strict=True)
    }
    rows = []
    for row in ROWS:
        on_progress((row.__doc__ or "").splitlines()[0])
        rows.append(row(bench))
    on_progress("where the time of training goes")
    return Speed(rows, ceilings, by_operation(config, bench.data))
