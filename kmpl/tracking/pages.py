"""Addresses of MLflow's pages, and the view on the runs that they open with."""

import json
import os
from collections.abc import Sequence
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Run

from kmpl.runtime.addresses import addresses_of_environment
from kmpl.tracking.client import experiment_id, search

_TRAINING_VIEW = "?workflowType=machine_learning"
"""Query of a page's address. Without it MLflow 3.17 opens on its pages for language models, whatever the experiment's
kind, and these have no registry of models."""
_VIEW = "kmpl"
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
"""Tag of the experiment from which MLflow's pages take filter, order and columns, if the address names the view."""
_COLUMNS = (
    "metrics.`accuracy/test`",
    "metrics.`accuracy/test_sd`",
    "metrics.`accuracy/validation`",
    "metrics.`accuracy/pseudo_labels`",
    "metrics.`duration/seconds`",
    "tags.`arm`",
)


def run_url(experiment: str, run_id: str) -> str:
    """Return the address of a run on MLflow's pages: the tracking server's, or those of ``kmpl up`` and ``kmpl ui``."""
    return f"{_base()}/#/experiments/{experiment}/runs/{run_id}{_TRAINING_VIEW}"


def comparison_url(experiment: str, run_ids: Sequence[str]) -> str:
    """Return the address of MLflow's comparison of runs, as ``run_url``."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")))
    experiments = quote(json.dumps([experiment]))
    return f"{_base()}/#/compare-runs?runs={runs}&experiments={experiments}&{_TRAINING_VIEW[1:]}"


def _base() -> str:
    base = addresses_of_environment().tracking
    base = base if base.startswith("http") else os.environ.get("KMPL_MLFLOW_PAGES", "http://127.0.0.1:5000")
    return base.rstrip("/")


def runs_url(client: MlflowClient, base: str) -> str:
    """Return the address of the newest sweep's runs on MLflow's pages at ``base``, with the columns that matter."""
    share_view(client)
    view = f"{_TRAINING_VIEW}&viewStateShareKey={_VIEW}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id(client)}/runs{view}"


def share_view(client: MlflowClient) -> None:
    """Let the pages open on the arms of the newest sweep, or on all runs if something else is newer."""
    view = {
        "searchFilter": _filter(client),
        "orderByKey": _COLUMNS[0],  # ordered by time, MLflow folds arms below experiments below sweeps
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(_COLUMNS),
        "runsHiddenMode": "FIRST_10_RUNS",
    }
    client.set_experiment_tag(experiment_id(client), _VIEW_TAG, json.dumps(view))


def _filter(client: MlflowClient) -> str:
    """Return MLflow's filter for the arms of the newest sweep; empty if another kind of run is the newest."""
    tops = [run for kind in ("sweep", "labelling", "experiment") for run in search(client, kind=kind)]
    newest = max((run for run in tops if _is_top(run)), key=lambda run: run.info.start_time, default=None)
    sweep = newest.data.tags.get("sweep") if newest else None
    return f"tags.sweep = '{sweep}' and tags.arm LIKE '%'" if sweep else ""


def _is_top(run: Run) -> bool:
    tags = run.data.tags
    return bool(tags["kind"] != "experiment" or "sweep" not in tags)
