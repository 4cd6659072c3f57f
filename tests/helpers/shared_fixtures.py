"""Fixtures that all tests share: a cache of their own, and small but real experiments."""

import contextlib
import copy
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from databases import copy_database
from matplotlib.figure import Figure
from matplotlib.text import Text
from once import once, shared_folder
from terminal import one_line
from threadpoolctl import threadpool_limits

from kmpl.cli import main
from kmpl.config.base import flatten
from kmpl.config.experiment import AFTER, BEFORE, ExperimentConfig, Method
from kmpl.config.presets import load, merge
from kmpl.config.sweep import SweepConfig
from kmpl.datasets import registry, test_set
from kmpl.datasets.types import Images
from kmpl.method import experiment
from kmpl.method.evaluation import evaluate
from kmpl.method.step_interface import Steps
from kmpl.reports import experiment_report
from kmpl.reports.comparison import SweepReport, compare
from kmpl.reports.studies import FinalRecord, State, StudyRecord, TrialRecord
from kmpl.tracking import client
from kmpl.tuning import study, trial
from kmpl.tuning.search_space import space

CLUSTER = ("KMPL_STORE", "KMPL_LOCKS", "KMPL_DASK", "KMPL_SCRATCH", "KMPL_SCRATCH_GB", "PREFECT_API_URL", "AWS_PROFILE")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep tests away from the user's cache, and off the network: a download must fail, not happen.

    The processes of a test run share one. New stores begin with a copy of MLflow's empty database, which is made once.
    """
    cache = shared_folder(tmp_path_factory) / "cache"
    cache.mkdir(exist_ok=True)
    closed = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMPL_CACHE", str(cache))
        patch.setenv("OPENBLAS_NUM_THREADS", "1")  # of the processes that tests start; see one_thread_at_first
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "OPTUNA_STORAGE", *CLUSTER):
            patch.delenv(name, raising=False)
        for name, value in closed.items():
            patch.setenv(name, value)
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        patch.setattr(client, "make_database", copy_database)
        yield cache


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let what tests start be interrupted; a shell that runs pytest in the background has it ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Have Prefect's own test server; it takes ten seconds to start."""
    from prefect.testing.utilities import prefect_test_harness  # slow to import

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what gives the line that a command is refused with; in this process: starting one takes seconds."""

    def refused(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        assert main(list(arguments)) == 2
        return one_line(capsys.readouterr().err)

    return refused


@pytest.fixture(scope="session", autouse=True)
def one_thread_at_first() -> Iterator[None]:
    """Let what is made for many tests be made on one thread too, and BLAS compute on one: on cores that others use as
    well, its threads spend most of their time waiting for each other (a test of logistic regression: 1.7 s instead of
    66)."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bits depend on the number of threads; and tests that run side by side must not wait for each other's."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


TINY = {
    "protocol": "literature",
    "labels": 100,
    "threads": 1,
    "pool": {"size": 600, "image_size": 16},  # 28 pixels take three times as long, and show these tests no more
    "pretrain": {"epochs": 3, "images_per_epoch": 800, "batch_size": 64, "ema": 0.0},
    "retrain": {"epochs": 2, "images_per_epoch": 800, "batch_size": 64, "ema": 0.0, "last_round": 1},
    "clustering": {"n_clusters": 40, "n_prototypes": 20},
    "pseudo_labels": {"rounds": 2, "threshold": 0.3, "graph_threshold": 0.3},
}


@pytest.fixture(scope="session")
def tiny() -> ExperimentConfig:
    """Six hundred real digits, a hundred of them labelled, two seconds of training."""
    return load(change=TINY)


@pytest.fixture(scope="session")
def sweep_settings(tiny: ExperimentConfig) -> SweepConfig:
    """Two labelled ratios × two seeds of the tiny experiment."""
    method = Method.model_validate(tiny.model_dump(include=set(Method.model_fields)))
    return SweepConfig(ratios=(0.2, 0.4), seeds=(0, 1), name="tiny", experiment=method)


@contextlib.contextmanager
def fewer_test_images() -> Iterator[None]:
    """Open the first five hundred real test images only: enough where what is tested is not how well they are told."""

    def few(name: str, train: bool, size: int = 0) -> Images:
        data = registry.read(name, train, size)
        return Images(images=data.images[:500], labels=data.labels[:500], classes=data.classes)

    test_set._rendered.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_set, "read", few)
        yield
    test_set._rendered.cache_clear()


@pytest.fixture(scope="module")
def few_test_images() -> Iterator[None]:
    """The same for the tests of one file."""
    with fewer_test_images():
        yield


def summary_of(tiny: ExperimentConfig, settings: SweepConfig, ratio: float, seed: int) -> dict[str, Any]:
    config = merge(tiny, {"ratio": ratio, "seed": seed, "arms": settings.arms})
    with fewer_test_images():
        outcome = experiment.run(config, Steps(evaluate=evaluate))
    return experiment_report.summary(config, outcome, f"run-{ratio:g}-{seed}")


Found = Callable[[float, int], dict[str, Any]]
"""Ratio and seed → what that experiment of the tiny sweep found."""


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory, tiny: ExperimentConfig, sweep_settings: SweepConfig) -> Found:
    """Return what runs an experiment of that sweep, or has the summary that another process made."""
    folder = shared_folder(tmp_path_factory)

    def find(ratio: float, seed: int) -> dict[str, Any]:
        made: dict[str, Any] = once(
            folder, f"summary-{ratio:g}-{seed}", lambda: summary_of(tiny, sweep_settings, ratio, seed)
        )
        return made

    return find


@pytest.fixture(scope="session")
def first_summary(found: Found, sweep_settings: SweepConfig) -> dict[str, Any]:
    """What the first experiment of that sweep found."""
    return found(sweep_settings.ratios[0], sweep_settings.seeds[0])


@pytest.fixture(scope="session")
def summaries(found: Found, sweep_settings: SweepConfig) -> list[dict[str, Any]]:
    """What all four found."""
    return [found(*draw) for draw in itertools.product(sweep_settings.ratios, sweep_settings.seeds)]


@pytest.fixture(scope="session")
def invented(first_summary: dict[str, Any]) -> Callable[..., list[dict[str, Any]]]:
    """Return summaries of any sweep: a real one's, with accuracies drawn at random around a mean for each arm."""

    def invent(settings: SweepConfig, spread: float = 0.002) -> list[dict[str, Any]]:
        rng, made = np.random.default_rng(0), []
        for ratio, seed in itertools.product(settings.ratios, settings.seeds):
            summary = copy.deepcopy(first_summary)
            labels = round(30_000 * ratio)
            summary |= {"seed": seed, "labelled": labels, "unlabelled": 30_000 - labels}
            summary["config"] |= {"ratio": ratio, "seed": seed, "arms": list(settings.arms)}
            kinds = summary.pop("arms")
            summary["arms"] = {}
            for place, arm in enumerate(settings.arms):
                numbers = copy.deepcopy(kinds[BEFORE if arm in (BEFORE, "oracle") else AFTER])
                accuracy = 0.93 + 0.05 * ratio + 0.003 * place + float(rng.normal(0, spread))
                summary["arms"][arm] = numbers | {"test_accuracy": accuracy, "views": {"clean": accuracy}}
            made.append(summary)
        return made

    return invent


@pytest.fixture(scope="session")
def tuned_report(invented: Callable[..., list[dict[str, Any]]]) -> SweepReport:
    """A sweep that was tuned: two ratios, three seeds, invented accuracies, the real search space."""
    settings = SweepConfig(ratios=(0.4, 0.1), seeds=(0, 1, 2), trials=9, name="tuned")
    untuned = invented(settings)
    better = copy.deepcopy(untuned)
    for place, summary in enumerate(better):
        for numbers in summary["arms"].values():
            numbers["test_accuracy"] += 0.002 + 0.001 * (place % 2)
            numbers["validation_accuracy"] = 0.97
    studies = [invented_study(ratio, arm) for ratio in settings.ratios for arm in (BEFORE, AFTER)]
    return compare(settings, better, untuned=untuned, studies=studies)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing of trials and studies: nobody looks, and it takes as long as all the rest of a tiny trial."""
    monkeypatch.setattr(trial, "of_trial", lambda *_: {})
    monkeypatch.setattr(study, "of_study", lambda *_: {})


def words_in(figure: Figure) -> list[Text]:
    """Return all texts of a figure that are seen: titles, axes' names, ticks, values, legend, note."""
    unseen = []  # matplotlib keeps a tick beyond either end of an axis
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        unseen += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text for text in texts if text not in unseen]


@pytest.fixture(scope="session")
def words() -> Callable[[Figure], list[Text]]:
    """Return what finds all texts of a figure that are seen."""
    return words_in


def invented_study(ratio: float, arm: str) -> StudyRecord:
    """Nine trials of a study, drawn at random from its space: two pruned, one diverged, the fifth the best."""
    config = ExperimentConfig(ratio=ratio)
    searched, values = space(config, arm, 30_000), flatten(config.model_dump())
    rng, trials = np.random.default_rng(1), []
    for number in range(9):
        params = {name: one.nearest(rng.uniform(one.low, one.high)) for name, one in searched.items()}
        state: State = "pruned" if number in (6, 8) else "diverged" if number == 3 else "complete"
        value = None if state == "diverged" else 0.6 if state == "pruned" else 0.97 - 0.002 * abs(number - 4)
        accuracy = value if state == "complete" else None
        seconds = {"computed": 20.0, "found": 10.0, "pruned": 15.0 if state == "pruned" else 0.0}
        about: dict[str, Any] = {"loss": 0.1 if accuracy else None, "run": f"run-{number}"} | seconds
        trials.append(TrialRecord(number=number, state=state, params=params, value=value, accuracy=accuracy, **about))
    return StudyRecord(
        name=f"tuned, ratio {ratio}, {arm}",
        ratio=ratio,
        arm=arm,
        space={name: (one.low, one.high, one.log) for name, one in searched.items()},
        start={name: values[name] for name in searched},
        best=trials[4].params,
        finals=(
            FinalRecord(number=4, values=(0.97, 0.96)),
            FinalRecord(number=5, values=(0.968, 0.95)),
        ),
        trials=tuple(trials),
        again=1,
        importances={name: 1 / (place + 2) for place, name in enumerate(searched)},
        validation=300,
        run=f"study-{ratio:g}-{arm}",
    )
