"""The metrics of a run: of all epochs, of all rounds, of the test; and the few by which runs are compared."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
from mlflow.entities import Metric

from kmpl.method.results import ArmReport, Round
from kmpl.training.history import Fit

TEST_ACCURACY = "accuracy/test"
VALIDATION_ACCURACY = "accuracy/validation"
PSEUDO_LABEL_ACCURACY = "accuracy/pseudo_labels"
SECONDS = "duration/seconds"
FIRST_METRICS = (TEST_ACCURACY, VALIDATION_ACCURACY, PSEUDO_LABEL_ACCURACY, SECONDS)
"""The few numbers by which runs are compared; MLflow's pages sort metrics by name, and these come first."""


def training_metrics(rounds: Sequence[Round], fit: Fit | None = None) -> list[Metric]:
    """Return the metrics of all epochs and rounds. Steps of epochs are numbered through all rounds.

    Args:
        rounds: of an arm.
        fit: training of an arm without rounds.
    """
    fits = [round_.fit for round_ in rounds] or ([fit] if fit else [])
    points: list[tuple[str, float, int]] = []
    for step, epoch in enumerate((epoch for fit in fits for epoch in fit.history), start=1):
        points += [("train/loss", epoch.loss, step), ("train/accuracy", epoch.accuracy, step)]
        points += [("validation/loss", epoch.validation_loss, step)]
        points += [("validation/accuracy", epoch.validation_accuracy, step)]
        points += [("train/learning_rate", epoch.learning_rate, step)]
    for round_ in rounds:
        quality = round_.diagnostics
        number = round_.number
        points += [("pseudo_labels/accuracy", quality.accuracy, number)]
        points += [("pseudo_labels/coverage", quality.coverage, number)]
        points += [("pseudo_labels/purity", quality.purity, number)]
        points += [(f"pseudo_labels/count_{c}", n, number) for c, n in enumerate(quality.counts)]
        points += [(f"pseudo_labels/accuracy_{c}", a, number) for c, a in enumerate(quality.class_accuracy)]
    return finite_metrics(points)


def finite_metrics(points: Iterable[tuple[str, float, int]]) -> list[Metric]:
    """Return metrics of all finite values; ``points`` are (name, value, step)."""
    now_ms = int(time.time() * 1000)
    return [Metric(name, float(value), now_ms, step) for name, value, step in points if np.isfinite(value)]


def metrics_of(arm: ArmReport) -> list[Metric]:
    """Return all metrics of an arm, with the same names in all arms."""
    test = arm.evaluation
    points: list[tuple[str, float, int]] = [("test/accuracy", test.accuracy, 0), ("test/log_loss", test.log_loss, 0)]
    points += [("test/calibration_error", test.calibration_error, 0)]
    points += [(f"test/accuracy_{view}", value, 0) for view, value in test.views.items()]
    points += [(f"test/recall_{c}", value, 0) for c, value in enumerate(test.class_accuracy)]
    points += [(f"seconds/{step.replace(' ', '_')}", value, 0) for step, value in arm.seconds.items()]
    points += [("seconds/all", sum(arm.seconds.values()), 0)]
    return _first_metrics(arm) + training_metrics(arm.rounds, arm.fit) + finite_metrics(points)


def _first_metrics(arm: ArmReport) -> list[Metric]:
    """Return the numbers by which the arm is compared with others."""
    validation = arm.fit.validation_accuracy
    pseudo_labels = arm.rounds[-1].diagnostics.accuracy if arm.rounds else np.nan
    values = (arm.evaluation.accuracy, validation, pseudo_labels, sum(arm.seconds.values()))
    return finite_metrics((name, value, 0) for name, value in zip(FIRST_METRICS, values, strict=True))
