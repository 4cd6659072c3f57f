"""The report of one experiment: a table for the terminal, and JSON."""

import json
import math
from pathlib import Path
from typing import Any

from rich.table import Table

from kmpl.config.experiment import ExperimentConfig
from kmpl.method.results import ArmReport, Report, Round
from kmpl.reports.findings import why_early
from kmpl.runtime.files import whole_file

_LAST_EPOCH = "last epoch"
"""The stop reason of a training that ran all its epochs."""


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def table(report: Report) -> Table:
    """Return the table at the end of a run: one row per arm, accuracies in per cent."""
    arms = list(report.arms.values())
    names = list(arms[0].evaluation.views)
    title = "Test accuracy per view (%), pseudo-labels right and kept (%)"
    # Without lines and with one blank between columns it fits a terminal of 80.
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, title=title, title_justify="left")
    grid.add_column("arm", style="bold", no_wrap=True)
    grid.add_column("labels", justify="right", no_wrap=True)
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    if len(names) > 1:
        grid.add_column("mixed", justify="right", style="bold", no_wrap=True)
    for name in ("right", "kept", "seconds"):
        grid.add_column(name, justify="right", no_wrap=True)
    for arm in arms:
        diagnostics = arm.rounds[-1].diagnostics if arm.rounds else None
        n_labels = (
            len(report.pool.labels) + len(report.pool.validation_labels) if arm.arm == "oracle" else report.pool.budget
        )
        cells = [arm.arm, f"{n_labels:,}", *(_percent(arm.evaluation.views[name]) for name in names)]
        cells += [_percent(arm.evaluation.accuracy)] if len(names) > 1 else []
        cells += [_percent(diagnostics.accuracy), _percent(diagnostics.coverage)] if diagnostics else ["–", "–"]
        grid.add_row(*cells, f"{sum(arm.seconds.values()):.0f}")
    return grid


def notes(report: Report) -> list[str]:
    """Return what the table's last columns mean, and why an arm or a training ended early, a line each."""
    lines = []
    if any(arm.rounds for arm in report.arms.values()):
        lines.append(
            "Right: of the last round's pseudo-labels (true labels are compared only here). Kept: of the unlabelled "
            "images, those that got a pseudo-label; the others were not trained on."
        )
    for arm in report.arms.values():
        if reason := why_early(arm.stop_reason):
            lines.append(f"{arm.arm} ended early, {reason}.")
        fits = {f"round {round_.number}": round_.fit for round_ in arm.rounds} or {"training": arm.fit}
        for name, fit in fits.items():
            if fit.stop_reason != _LAST_EPOCH:
                lines.append(f"{arm.arm}, {name}: {fit.stop_reason}; epoch {fit.kept_epoch} is kept.")
    return lines


def _number(value: float) -> float | None:
    """Return a number as JSON has it: None instead of NaN."""
    return None if math.isnan(value) else value


def _round(round_: Round) -> dict[str, Any]:
    diagnostics = round_.diagnostics
    return {
        "round": round_.number,
        "pseudo_label_accuracy": _number(diagnostics.accuracy),
        "coverage": diagnostics.coverage,
        "purity": _number(diagnostics.purity),
        "counts": list(diagnostics.counts),
        "validation_accuracy": _number(round_.fit.validation_accuracy),
        "seconds": round_.seconds,
    }


def _arm(arm: ArmReport) -> dict[str, Any]:
    test = arm.evaluation
    numbers: dict[str, Any] = {
        "test_accuracy": test.accuracy,
        "views": test.views,
        "class_accuracy": [_number(value) for value in test.class_accuracy],
        "calibration_error": test.calibration_error,
        "log_loss": test.log_loss,
        "confusion": test.confusion.tolist(),
        "validation_accuracy": _number(arm.fit.validation_accuracy),
        "validation_loss": _number(arm.fit.validation_loss),
        "seconds": sum(arm.seconds.values()),
        "seconds_per_step": arm.seconds,
        "stop_reason": arm.stop_reason,
    }
    if arm.rounds or arm.arm not in ("labelled-only", "oracle"):
        diagnostics = arm.rounds[-1].diagnostics if arm.rounds else None
        numbers["pseudo_label_accuracy"] = _number(diagnostics.accuracy) if diagnostics else None
        numbers["coverage"] = diagnostics.coverage if diagnostics else 0.0
        numbers["rounds"] = [_round(round_) for round_ in arm.rounds]
    return numbers


def summary(config: ExperimentConfig, report: Report, run_id: str) -> dict[str, Any]:
    """Return the report as plain values for JSON: accuracies are fractions, times are seconds."""
    pool = report.pool
    return {
        "protocol": config.protocol,
        "seed": config.seed,
        "labelled": pool.budget,
        "unlabelled": int((~pool.labelled).sum()),
        "validation": len(pool.validation_labels),
        "pool_digest": pool.digest,
        "config": config.model_dump(mode="json"),
        "arms": {name: _arm(arm) for name, arm in report.arms.items()},
        "mlflow_run_id": run_id,
    }


def write_json(numbers: dict[str, Any], path: Path) -> None:
    """Write the report; the file is whole or absent."""
    with whole_file(path) as draft:
        draft.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
