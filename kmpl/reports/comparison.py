"""The results of a sweep: mean accuracy by labelled ratio and arm, with intervals and paired tests over the seeds.

Accuracies are fractions of the test set; differences are differences of fractions.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from kmpl.config.experiment import AFTER, BEFORE
from kmpl.config.sweep import SweepConfig
from kmpl.reports.records import Frozen
from kmpl.reports.statistics import Paired, interval, paired
from kmpl.reports.studies import StudyRecord

_KEYS_OF_THE_RUN = ("seconds", "seconds_per_step", "mlflow_run_id")  # differ from run to run with equal results


class Row(Frozen):
    """One arm at one labelled ratio, over all seeds."""

    ratio: float
    arm: str
    labels: int
    """Labelled budget, validation included; for the oracle all images."""
    n: int
    """Seeds."""
    mean: float
    """Test accuracy, mean over the views and the seeds."""
    sd: float | None
    """Standard deviation over the seeds (n − 1); None for a single seed."""
    low: float | None
    """Lower end of the 95 % interval of the mean (Student's t); None for a single seed."""
    high: float | None
    """Upper end."""
    views: dict[str, float]
    """Mean test accuracy per view."""
    right: float | None
    """Accuracy of the last round's pseudo-labels, mean over the seeds; None for arms without pseudo-labels."""
    kept: float | None
    """Coverage: share of the unlabelled images with a pseudo-label in the last round, mean; None for arms without."""


class TuningGain(Frozen):
    """Tuned minus untuned settings at one labelled ratio, paired by seed, on seeds that tuning did not use."""

    ratio: float
    arm: str
    untuned: float
    """Test accuracy with the untuned settings, mean over the seeds."""
    tuned: float
    """Test accuracy with the best settings of the study, mean over the seeds."""
    test: Paired
    """Difference on the test set."""
    validation: Paired
    """Difference on the held-out validation labels; each seed draws its own."""


class SweepReport(Frozen):
    """The report of a sweep; engine, machine and interruptions do not change ``results`` and ``digest``."""

    name: str
    settings: SweepConfig
    rows: tuple[Row, ...]
    """By ratio (falling), then by arm in the order of the settings."""
    paired: tuple[Paired, ...]
    """pseudo-label − labelled-only by ratio; empty unless the sweep has both arms."""
    results: tuple[dict[str, Any], ...]
    """Each experiment's numbers without times and run ids, by ratio and seed."""
    tuned: tuple[TuningGain, ...] = ()
    """By ratio and arm; empty unless the sweep was tuned. Rows, pairs and results are those of the tuned settings."""
    untuned: tuple[dict[str, Any], ...] = ()
    """As ``results``, with the untuned settings."""
    studies: tuple[StudyRecord, ...] = ()
    """The studies of tuning, by ratio and arm."""
    digest: str
    """SHA-256 of all results."""
    champion: str = ""
    """Whether the champion moved, and why."""
    run: str = ""
    """MLflow's id of the sweep's parent run."""
    runs: dict[str, str] = Field(default_factory=dict)
    """MLflow's id of each experiment's run by its name, ``ratio 0.1, seed 0``."""
    seconds: float = 0.0
    """Time of all steps; a step that the store held counts once."""
    times: dict[str, float] = Field(default_factory=dict)
    """Mean seconds of one arm, pretraining included, by ``ratio 0.1, pseudo-label``."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Versions and machine."""
    parts: tuple[dict[str, str], ...] = ()
    """The environment and the ``arms`` of each report that was merged into this one; empty unless it was merged."""


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def _row(ratio: float, arm: str, group: Sequence[Mapping[str, Any]]) -> Row:
    numbers = [result["arms"][arm] for result in group]
    values = [n["test_accuracy"] for n in numbers]
    low, high = interval(values)
    first = group[0]
    return Row(
        ratio=ratio,
        arm=arm,
        labels=first["labelled"] + (first["unlabelled"] if arm == "oracle" else 0),
        n=len(values),
        mean=float(np.mean(values)),
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        low=low,
        high=high,
        views={view: float(np.mean([n["views"][view] for n in numbers])) for view in numbers[0]["views"]},
        right=_mean([n.get("pseudo_label_accuracy") for n in numbers]),
        kept=_mean([n.get("coverage") for n in numbers]),
    )


def _without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_times(v) for key, v in value.items() if key not in _KEYS_OF_THE_RUN}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


def compare(
    settings: SweepConfig,
    summaries: Sequence[Mapping[str, Any]],
    *,
    untuned: Sequence[Mapping[str, Any]] = (),
    studies: Sequence[StudyRecord] = (),
    **more: Any,
) -> SweepReport:
    """Return the report of a sweep from the summaries of its experiments, in any order.

    Args:
        settings: of the sweep.
        summaries: one of ``experiment_report.summary`` for each experiment.
        untuned: the same experiments with the untuned settings, if the sweep was tuned.
        studies: of tuning.
        more: further fields of the report: champion, runs, environment.
    """
    results = _ordered(summaries)
    untuned_results = _ordered(untuned)
    gains = [
        _gain(ratio, arm, _at(untuned_results, ratio), _at(results, ratio))
        for ratio in settings.ratios
        for arm in settings.arms
        if untuned_results and arm in (BEFORE, AFTER)
    ]
    return SweepReport(
        name=settings.name,
        settings=settings,
        tuned=tuple(gains),
        untuned=untuned_results,
        studies=tuple(studies),
        seconds=sum(_seconds(summary) for summary in [*summaries, *untuned]),
        times={
            f"ratio {ratio:g}, {arm}": float(np.mean(sorted(_numbers(_at(summaries, ratio), arm, "seconds"))))
            for ratio in settings.ratios
            for arm in settings.arms
        },
        **tables(settings, results, untuned_results, studies),
        **more,
    )


def tables(
    settings: SweepConfig,
    results: Sequence[Mapping[str, Any]],
    untuned: Sequence[Mapping[str, Any]] = (),
    studies: Sequence[StudyRecord] = (),
) -> dict[str, Any]:
    """Return the fields of a report that follow from ``results``: rows, paired differences, digest."""
    rows = [_row(ratio, arm, _at(results, ratio)) for ratio in settings.ratios for arm in settings.arms]
    pairs = [
        paired(ratio, *(accuracies(results, ratio, arm) for arm in (BEFORE, AFTER)))
        for ratio in settings.ratios
        if {BEFORE, AFTER} <= set(settings.arms)
    ]
    text = json.dumps([*results, *untuned, *(study.results() for study in studies)], sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"rows": tuple(rows), "paired": tuple(pairs), "results": tuple(results), "digest": digest}


def _ordered(summaries: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    ordered = sorted(summaries, key=lambda s: (-s["config"]["ratio"], s["seed"]))
    return tuple(_without_times(summary) for summary in ordered)


def accuracies(results: Sequence[Mapping[str, Any]], ratio: float, arm: str) -> list[float]:
    """Return the test accuracies of an arm at one ratio, fractions, in the order of the results."""
    return _numbers(_at(results, ratio), arm, "test_accuracy")


def _at(results: Sequence[Mapping[str, Any]], ratio: float) -> list[Mapping[str, Any]]:
    return [result for result in results if math.isclose(result["config"]["ratio"], ratio)]


def _numbers(group: Sequence[Mapping[str, Any]], arm: str, name: str) -> list[float]:
    return [result["arms"][arm][name] for result in group]


def _gain(
    ratio: float, arm: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> TuningGain:
    means = [float(np.mean(_numbers(group, arm, "test_accuracy"))) for group in (before, after)]
    test, validation = (
        paired(ratio, *(_numbers(group, arm, name) for group in (before, after)))
        for name in ("test_accuracy", "validation_accuracy")
    )
    return TuningGain(ratio=ratio, arm=arm, untuned=means[0], tuned=means[1], test=test, validation=validation)


def _seconds(summary: Mapping[str, Any]) -> float:
    """Return the time of an experiment's steps; pretraining is shared by its arms."""
    shared = max((arm["seconds_per_step"].get("pretrain", 0.0) for arm in summary["arms"].values()), default=0.0)
    alone = (sum(v for k, v in arm["seconds_per_step"].items() if k != "pretrain") for arm in summary["arms"].values())
    return shared + sum(alone)
