"""How fast training is while other programs take the cores, beside how OpenMP would wait by itself."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from os import environ

from kmpl.benchmarks.speed.timing import Bench, Row, in_turn, network, ratios
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.registry import read
from kmpl.datasets.types import Images
from kmpl.runtime.devices import use_threads
from kmpl.runtime.openmp import WAITING
from kmpl.training import examples, loop

_SECONDS = 2.0  # of each training
_IMAGES = 10_000
_BY_ITSELF = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # what libgomp's and LLVM's sources say
_OURS, _THEIRS = "kmpl", "OpenMP by itself"


@cache
def speeds(bench: Bench) -> dict[tuple[str, int], tuple[float, ...]]:
    """Return images per second, in turn: who says how threads wait, and how many others are busy."""
    others = (0, 1, 2)
    with ExitStack() as open_processes:
        ways = {_OURS: WAITING, _THEIRS: _BY_ITSELF}
        trainings = {name: open_processes.enter_context(_training(bench.config, way)) for name, way in ways.items()}
        names = [(name, n) for n in others for name in ways]
        found = in_turn(bench.turns, *(partial(_beside, n, trainings[name]) for name, n in names))
    return dict(zip(names, found, strict=True))


def quiet(bench: Bench) -> Row:
    """Training with nothing else running: how kmpl has threads wait, against OpenMP by itself."""
    found = {name: speeds(bench)[name, 0] for name in (_OURS, _THEIRS)}
    parts = {f"{name} (images/s)": values for name, values in found.items()}
    return Row("training, nothing else running", ratios(*found.values()), 0.97, 1.0, parts=parts)


def beside_one(bench: Bench) -> Row:
    """Training beside a process that takes a whole core: share of the speed with nothing else running."""
    return _share(bench, 1, "training beside one busy process: share of the quiet speed", 0.45, 0.6)


def beside_two(bench: Bench) -> Row:
    """Training beside two such processes: share of the speed with nothing else running."""
    return _share(bench, 2, "training beside two busy processes: share of the quiet speed", 0.3, 0.45)


def _share(bench: Bench, others: int, name: str, must: float, aim: float) -> Row:
    found = speeds(bench)
    parts = {f"{who} (images/s)": found[who, others] for who in (_OURS, _THEIRS)}
    return Row(name, ratios(found[_OURS, others], found[_OURS, 0]), must, aim, parts=parts)


def _beside(others: int, work: Callable[[], float]) -> float:
    """Return what work measures while so many other processes do nothing but compute."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        return work()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextmanager
def _training(config: ExperimentConfig, waiting: dict[str, str]) -> Iterator[Callable[[], float]]:
    """Give what trains for a moment and returns images per second; OpenMP reads how to wait when a process starts."""
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()", config.model_dump_json(), str(_SECONDS)]
    clean = {name: value for name, value in environ.items() if name != "OMP_WAIT_POLICY"} | waiting
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=clean, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def ask() -> float:
            print(file=to, flush=True)
            return float(back.readline())

        try:
            yield ask
        finally:
            to.close()  # then it ends


def serve() -> None:
    """Train for a moment at each line of the input, and print how many images a second were seen."""
    config = ExperimentConfig.model_validate_json(sys.argv[1])
    use_threads(config.threads)
    data = read(config.dataset, train=True)
    bench = Bench(config, Images(images=data.images[:_IMAGES], labels=data.labels[:_IMAGES], classes=data.classes), 1)
    for _ in sys.stdin:
        print(images_per_second(bench, float(sys.argv[2])), flush=True)


class _Over(Exception):  # noqa: N818
    """The time is up."""


def images_per_second(bench: Bench, seconds: float) -> float:
    """Return how many images a second the training loop sees, measured for so long."""
    data = examples.examples(bench.data.images, bench.data.labels.numpy())
    nobody = data.images[:0], data.labels[:0].numpy()
    settings = bench.config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": 10**6})
    begun: list[tuple[float, float]] = []  # when the first step was done, and the share of the epoch that it was
    seen = 0.0

    def step(share: float, _: int) -> None:
        nonlocal seen
        now = time.perf_counter()
        begun.append((now, share))
        if now > begun[0][0]:
            seen = (share - begun[0][1]) * settings.images_per_epoch / (now - begun[0][0])
        if now - begun[0][0] > seconds:
            raise _Over

    fresh = network(bench, bench.config.network)
    with suppress(_Over):
        loop.fit(
            fresh, data, settings, augmentation=bench.config.augmentation, seed=0, validation=nobody, on_batch=step
        )
    return seen
