"""Reports into MLflow; the only folder that imports it."""

from kmpl.tracking.client import failed_outside, open_store, run_url, store_answers, tracking_uri

__all__ = ["failed_outside", "open_store", "run_url", "store_answers", "tracking_uri"]
