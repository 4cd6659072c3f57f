"""Experiment tracking with MLflow. The only folder that imports MLflow."""

from kmpl.tracking.client import failed_outside, open_store, run_url, store_answers, tracking_uri

__all__ = ["failed_outside", "open_store", "run_url", "store_answers", "tracking_uri"]
