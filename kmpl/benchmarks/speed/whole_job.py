"""Speed of the notebook's whole job at ratio 0.1: the notebook's way, by its cost per image, and kmpl, run once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

from kmpl.benchmarks.speed import notebook_way
from kmpl.benchmarks.speed.ceilings import seconds
from kmpl.benchmarks.speed.timing import Bench, Row, alternate, default_network, rate, ratios
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import PRESETS, merge
from kmpl.method import experiment, steps
from kmpl.method.evaluation import evaluate
from kmpl.method.step_interface import Steps
from kmpl.models import embedding

_JOB = {"protocol": "notebook", "ratio": 0.1, "pool": {"size": 30_000}}
_TIMED_STEPS = 8  # of the notebook's training, and twice as many of its prediction


@dataclass(frozen=True)
class NotebooksJob:
    """The notebook's job at ratio 0.1, by its cost per image: the whole would take most of an hour."""

    parts: Mapping[str, tuple[float, ...]]
    seconds: tuple[float, ...]
    """Seconds of the whole job, computed from the parts, of each repeat."""


@cache
def notebooks_job(bench: Bench) -> NotebooksJob:
    """Return the time of the notebook's way, measured once for all comparisons."""
    network = default_network(bench, "vgg16")
    trained, predicted = alternate(
        bench.repeats,
        lambda: rate(lambda: notebook_way.train(network, bench.data, _TIMED_STEPS)),
        lambda: rate(lambda: notebook_way.predict(network, bench.data, 2 * _TIMED_STEPS)),
    )
    pool, truth = steps.load(merge(bench.config, _JOB))
    features, _ = embedding.embed(network, pool.images)
    budget = round(0.1 * len(features))
    clustered = seconds(partial(notebook_way.pseudo_label, features[:budget], truth[:budget], features[budget:]))
    to_train, to_predict = notebook_way.images_of_the_job(len(features), budget, 20_000)
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
    return _compare_with_notebook(bench, merge(merge(bench.config, PRESETS["quick"]), _JOB), "preset quick")


def whole_job_by_default(bench: Bench) -> Row:
    """The same against kmpl's defaults: three rounds instead of the notebook's one, and longer training."""
    return _compare_with_notebook(bench, merge(bench.config, _JOB), "defaults")


def _compare_with_notebook(bench: Bench, config: ExperimentConfig, settings_name: str) -> Row:
    theirs = notebooks_job(bench)
    begin = time.perf_counter()
    arms = experiment.run(config, Steps(evaluate=evaluate)).arms
    ours = time.perf_counter() - begin
    accuracies = tuple(100 * arm.evaluation.accuracy for arm in arms.values())
    parts = {"kmpl, whole job (s)": (ours,), f"kmpl, accuracy, {' and '.join(arms)} (%)": accuracies}
    name = f"notebook protocol, ratio 0.1, whole job, {settings_name}"
    return Row(name, ratios(theirs.seconds, [ours] * bench.repeats), 25, 60, parts={**theirs.parts, **parts})
