"""Speed of training beside busy processes: with kmpl's OpenMP waiting policy, and with OpenMP's default."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from os import environ

from kmpl.benchmarks.speed.timing import Bench, Row, alternate, network, ratios
from kmpl.config.experiment import ExperimentConfig
from kmpl.datasets.registry import read
from kmpl.datasets.types import Images
from kmpl.runtime.devices import use_threads
from kmpl.runtime.openmp import WAITING
from kmpl.training import examples, loop

_TRAINING_SECONDS = 2.0
_N_IMAGES = 10_000
_DEFAULT_WAITING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # what libgomp's and LLVM's sources say
_OURS = "kmpl"
_THEIRS = "OpenMP by itself"


@cache
def speeds(bench: Bench) -> dict[tuple[str, int], tuple[float, ...]]:
    """Return images per second, measured alternately, by waiting policy and number of busy processes."""
    others = (0, 1, 2)
    with ExitStack() as open_processes:
        policies = {_OURS: WAITING, _THEIRS: _DEFAULT_WAITING}
        trainings = {
            name: open_processes.enter_context(_training(bench.config, policy)) for name, policy in policies.items()
        }
        names = [(name, n) for n in others for name in policies]
        values = alternate(bench.repeats, *(partial(_beside, n, trainings[name]) for name, n in names))
    return dict(zip(names, values, strict=True))


def quiet(bench: Bench) -> Row:
    """Training with nothing else running: kmpl's waiting policy, against OpenMP's default."""
    rates = {name: speeds(bench)[name, 0] for name in (_OURS, _THEIRS)}
    parts = {f"{name} (images/s)": values for name, values in rates.items()}
    return Row("training, nothing else running", ratios(*rates.values()), 0.97, 1.0, parts=parts)


def beside_one(bench: Bench) -> Row:
    """Training beside a process that takes a whole core: share of the speed with nothing else running."""
    return _share(bench, 1, "training beside one busy process: share of the quiet speed", 0.45, 0.6)


def beside_two(bench: Bench) -> Row:
    """Training beside two such processes: share of the speed with nothing else running."""
    return _share(bench, 2, "training beside two busy processes: share of the quiet speed", 0.3, 0.45)


def _share(bench: Bench, others: int, name: str, must: float, aim: float) -> Row:
    rates = speeds(bench)
    parts = {f"{policy} (images/s)": rates[policy, others] for policy in (_OURS, _THEIRS)}
    return Row(name, ratios(rates[_OURS, others], rates[_OURS, 0]), must, aim, parts=parts)


def _beside(others: int, work: Callable[[], float]) -> float:
    """Return the result of a measurement while ``others`` busy processes run."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
    try:
        return work()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextmanager
def _training(config: ExperimentConfig, waiting: dict[str, str]) -> Iterator[Callable[[], float]]:
    """Yield a function that trains for a moment in its own process and returns images per second.

    The process is necessary because OpenMP reads its waiting policy when a process starts.
    """
    command = [
        sys.executable,
        "-c",
        f"from {__name__} import serve; serve()",
        config.model_dump_json(),
        str(_TRAINING_SECONDS),
    ]
    environment = {name: value for name, value in environ.items() if name != "OMP_WAIT_POLICY"} | waiting
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests = process.stdin
        answers = process.stdout

        def train() -> float:
            print(file=requests, flush=True)
            return float(answers.readline())

        try:
            yield train
        finally:
            requests.close()  # the process ends at the end of its input


def serve() -> None:
    """Train for a moment at each line of the input, and print the images per second."""
    config = ExperimentConfig.model_validate_json(sys.argv[1])
    use_threads(config.threads)
    data = read(config.dataset, train=True)
    bench = Bench(
        config, Images(images=data.images[:_N_IMAGES], labels=data.labels[:_N_IMAGES], classes=data.classes), 1
    )
    for _ in sys.stdin:
        print(training_rate(bench, float(sys.argv[2])), flush=True)


class _TimeIsUp(Exception):  # noqa: N818
    """The time is up."""


def training_rate(bench: Bench, seconds: float) -> float:
    """Return the images per second of the training loop, measured over ``seconds``."""
    data = examples.examples(bench.data.images, bench.data.labels.numpy())
    no_validation = data.images[:0], data.labels[:0].numpy()
    settings = bench.config.retrain.model_copy(update={"epochs": 1, "images_per_epoch": 10**6})
    first: list[tuple[float, float]] = []  # time and share of the epoch at the end of the first step
    images_per_second = 0.0

    def step(share: float, _: int) -> None:
        nonlocal images_per_second
        now = time.perf_counter()
        if not first:
            first.append((now, share))
        begin, begin_share = first[0]
        if now > begin:
            images_per_second = (share - begin_share) * settings.images_per_epoch / (now - begin)
        if now - begin > seconds:
            raise _TimeIsUp

    fresh = network(bench, bench.config.network)
    with suppress(_TimeIsUp):
        loop.fit(
            fresh,
            data,
            settings,
            augmentation=bench.config.augmentation,
            seed=0,
            validation=no_validation,
            on_batch=step,
        )
    return images_per_second
