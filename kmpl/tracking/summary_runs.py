"""A run for each arm and labelled ratio of a sweep, with means over its seeds: to compare sweeps on MLflow's pages."""

import math
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from kmpl.config.experiment import ExperimentConfig
from kmpl.config.presets import for_arm, merge
from kmpl.reports.comparison import Row, SweepReport
from kmpl.tracking.client import closing, search
from kmpl.tracking.experiment_runs import changed_settings, log_metrics, log_params, start
from kmpl.tracking.run_metrics import PSEUDO_LABEL_ACCURACY, TEST_ACCURACY, finite_metrics

KIND = "summary"


def log_summaries(client: MlflowClient, sweep_run: str, report: SweepReport) -> None:
    """Log a run for each row of a report, below the sweep's run.

    Those of the same report are moved there instead; those of another one are deleted.

    Args:
        client: of the store.
        sweep_run: id of the sweep's run.
        report: of the sweep.
    """
    tags = {MLFLOW_PARENT_RUN_ID: sweep_run, "sweep": report.name, "digest": report.digest}
    earlier = search(client, kind=KIND, sweep=report.name)
    if len(earlier) == len(report.rows) and all(run.data.tags["digest"] == report.digest for run in earlier):
        for run in earlier:
            client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, sweep_run)
        return
    for run in earlier:
        client.delete_run(run.info.run_id)
    for row in report.rows:
        _log_row(client, report, row, tags)


def _log_row(client: MlflowClient, report: SweepReport, row: Row, tags: Mapping[str, str]) -> None:
    config = merge(ExperimentConfig(**report.settings.experiment.model_dump()), {"ratio": row.ratio})
    seeds = f"mean of {row.n} seeds" if row.n > 1 else "1 seed"
    about = {"kind": KIND, "arm": row.arm, "ratio": f"{row.ratio:g}", "seeds": str(row.n)}
    name = f"{report.name}, ratio {row.ratio:g}, {row.arm}: {seeds}"
    run_id = start(client, name, {**tags, **about, **changed_settings(config)})
    with closing(client, run_id):
        settings = for_arm(config, row.arm).model_dump(mode="json", exclude={"seed"})
        log_params(client, run_id, settings)
        values = {
            TEST_ACCURACY: row.mean,
            f"{TEST_ACCURACY}_sd": row.sd,
            f"{TEST_ACCURACY}_low": row.low,
            f"{TEST_ACCURACY}_high": row.high,
            PSEUDO_LABEL_ACCURACY: row.right,
            "accuracy/coverage": row.kept,
            "seeds": row.n,
        }
        points = [(name, math.nan if value is None else float(value), 0) for name, value in values.items()]
        log_metrics(client, run_id, finite_metrics(points))
