"""How fast kmpl is: each thing beside what it is compared with, in turn, in one run."""

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
from kmpl.benchmarks.speed.timing import Bench, Row, in_turn, network, plain, rate, ratios
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

_BRIEF = 16  # steps of a training that is timed


def vgg16_training(bench: Bench) -> Row:
    """The same VGG16, batch size and optimiser: the notebook's loop against kmpl's."""
    theirs = plain(bench, "vgg16")
    config = load("notebook", None, {"protocol": "notebook", "pool": {"size": 1_000}, "ratio": 0.5, "threads": 0})
    pool, truth = steps.load(config)
    n = _BRIEF // 2 * notebook_way.BATCH
    brief = config.pretrain.model_copy(update={"epochs": 1, "images_per_epoch": n})
    fresh = network(bench, "vgg16")
    ours, base = in_turn(
        bench.turns,
        lambda: n / _fit(fresh, examples.examples(pool.images, truth), brief, config),
        lambda: rate(lambda: notebook_way.train(theirs, bench.data, _BRIEF // 2)),
    )
    parts = {"kmpl (images/s)": ours, "the notebook's way (images/s)": base}
    return Row("VGG16, images per second in training", ratios(ours, base), 1.4, 1.8, parts=parts)


def step_against_ceiling(bench: Bench) -> Row:
    """A training step of the standard network: share of what convolutions can do at best on this machine."""
    fresh = network(bench, bench.config.network).train()
    step, size = _bare_step(bench, fresh)
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
    looped, other = network(bench, config.network), network(bench, config.network).train()
    step, size = _bare_step(bench, other)
    n = 4 * _BRIEF
    brief = config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": n * size})
    data = examples.examples(bench.data.images[:10_000], bench.data.labels[:10_000].numpy())
    ours, bare = in_turn(
        bench.turns,
        lambda: _fit(looped, data, brief, config),
        lambda: seconds(lambda: [step() for _ in range(n)]),
    )
    parts = {"loop (s)": ours, "bare steps (s)": bare}
    return Row("training loop / bare steps on one batch", ratios(ours, bare), 1.10, 1.05, more=False, parts=parts)


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
from kmpl.models.model_file import read_model
model = read_model(Path(sys.argv[1])).classifier
print(model.classify(model.read(Path(sys.argv[2]))[None]))
"""


def first_prediction(bench: Bench) -> Row:
    """Import, read a model's file and a picture's, say what it shows, in a process of its own."""
    fresh = network(bench, bench.config.network)
    channels, height, width = bench.data.images.shape[1:]
    about = Description(
        network=bench.config.network, classes=bench.data.classes, raw_shape=(channels, height, width), size=0
    )
    with tempfile.TemporaryDirectory() as folder:
        model, picture = Path(folder, "model.safetensors"), Path(folder, "picture.png")
        write_model(fresh, about, model)
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
    busy.quiet,
    busy.beside_one,
    busy.beside_two,
    voting_share,
    kmeans_between_rounds,
    help_time,
    first_prediction,
)


def _fit(network: Network, data: Examples, settings: Training, config: ExperimentConfig) -> float:
    nobody = data.images[:0], data.labels[:0].numpy()
    return loop.fit(network, data, settings, augmentation=config.augmentation, seed=0, validation=nobody).seconds


def _bare_step(bench: Bench, network: Network) -> tuple[Callable[[], None], int]:
    """Return forward, backward and step on one fixed batch, and its size."""
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
