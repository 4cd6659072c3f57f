"""Addresses of MLflow's pages."""

import os

from mlflow import MlflowClient

from kmpl.tracking.client import experiment_id

_TRAINING_VIEW = "?workflowType=machine_learning"
"""Query of a page's address. Without it MLflow 3.17 opens on its pages for language models, whatever the experiment's
kind, and these have no registry of models."""


def run_url(experiment: str, run_id: str) -> str:
    """Return the address of a run on MLflow's pages: the tracking server's, or those of ``kmpl up`` and ``kmpl ui``."""
    base = os.environ.get("MLFLOW_TRACKING_URI", "")
    base = base if base.startswith("http") else os.environ.get("KMPL_MLFLOW_PAGES", "http://127.0.0.1:5000")
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}{_TRAINING_VIEW}"


def runs_url(client: MlflowClient, base: str) -> str:
    """Return the address of all runs on MLflow's pages at ``base``."""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id(client)}/runs{_TRAINING_VIEW}"
